"""3D-aware regularizer, Table 3: cross-view consistency, NYUv2 with video frames."""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, VIDEO, base, merged, ours

HOST = merged(INVPT)

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2_video",
    id="3",
    rows=[
        Row("InvPT (Ye & Xu, 2022a).", base(HOST, VIDEO)),
        Row("Ours", ours(HOST, VIDEO)),
        Row("Ours with cross-view consistency", ours(HOST, VIDEO, cross_view="raw")),
    ],
)
