"""MTI-Net, Table 4: the initial predictions of one trained model, scale by scale, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import mti_net, single_task

TABLE = Table(
    paper="mti_net",
    dataset="nyuv2",
    id="4",
    rows=[
        Row("ST", single_task()),
        Row("Front-end @ 1/32 scale", mti_net(), view="scale_3"),
        Row("Front-end @ 1/16 scale", mti_net(), view="scale_2"),
        Row("Front-end @ 1/8 scale", mti_net(), view="scale_1"),
        Row("Front-end @ 1/4 scale", mti_net(), view="scale_0"),
        Row("Final output", mti_net()),
    ],
)
