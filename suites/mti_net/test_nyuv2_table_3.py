"""MTI-Net, Table 3: number of scales of the backbone, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import mti_net, pad_net, single_task

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="3",
    rows=[
        Row("ST", single_task()),
        Row("1/4 (Pad-Net)", pad_net()),
        Row("1/4, 1/8", mti_net(scales=2)),
        Row("1/4, 1/8, 1/16", mti_net(scales=3)),
        Row("1/4, 1/8, 1/16, 1/32 (Ours)", mti_net()),
    ],
)
