"""MTI-Net, Table 2b: ablation study, HRNet-18, PASCAL-Context.

The other readings: the multi-task baselines with the public implementation's optimizer.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import COMPLETE, HRNET18, SETTINGS, SMALL, multi_task, pascal_ablation

TABLE = Table(
    paper="mti_net",
    dataset="pascal_context",
    id="2b",
    rows=[
        *pascal_ablation(HRNET18),
        Row("MTL (s), Adam", multi_task(HRNET18, SMALL, SETTINGS[SMALL].deep), reading_of="MTL (s)"),
        Row("MTL (a), Adam", multi_task(HRNET18, COMPLETE, SETTINGS[COMPLETE].deep), reading_of="MTL (a)"),
    ],
)
