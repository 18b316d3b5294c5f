"""3D-aware regularizer, Table 5: predictions of heads and regularizer, NYUD-v2; one training, read in three ways."""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, ours

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2",
    id="5",
    rows=[
        Row("task-specific heads", ours(INVPT)),
        Row("regularizer", ours(INVPT), view="regularizer"),
        Row("avg", ours(INVPT), view="average"),
    ],
)
