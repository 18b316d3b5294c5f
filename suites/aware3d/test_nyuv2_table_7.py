"""3D-aware regularizer, Table 7: size of the training set, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, base, ours, subset

SHARES = {"795 (100%)": 100, "397 (50%)": 50, "198 (25%)": 25}

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2",
    id="7",
    rows=[
        row
        for panel, percent in SHARES.items()
        for row in (
            Row("InvPT (Ye & Xu, 2022a)", base(INVPT, subset(percent)), panel=panel),
            Row("Ours", ours(INVPT, subset(percent)), panel=panel),
        )
    ],
)
