"""MTI-Net, Table 2b: ablation study, HRNet-18, PASCAL-Context.

The other readings: the multi-task baselines by the public implementation's recipe, Adam and a longer training.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import COMPLETE, HRNET18, SMALL, multi_task, pascal_ablation, released

TABLE = Table(
    paper="mti_net",
    dataset="pascal_context",
    id="2b",
    rows=[
        *pascal_ablation(HRNET18),
        Row("MTL (s), released recipe", released(multi_task(HRNET18, SMALL)), reading_of="MTL (s)"),
        Row("MTL (a), released recipe", released(multi_task(HRNET18, COMPLETE)), reading_of="MTL (a)"),
    ],
)
