"""MTI-Net, Table 7a: parameters, multiply-accumulates and multi-task performance, NYUD-v2, HRNet-18."""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import mti_net, multi_task, pad_net, single_task

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="7a",
    rows=[
        Row("Single Task", single_task()),
        Row("Multi-Task", multi_task()),
        Row("PAD-Net", pad_net()),
        Row("MTI-Net (Ours)", mti_net()),
    ],
)
