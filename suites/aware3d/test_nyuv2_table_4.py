"""3D-aware regularizer, Table 4: auxiliary heads instead of the regularizer, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, auxiliary_heads, base, ours

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2",
    id="4",
    rows=[
        Row("InvPT (Ye & Xu, 2022a)", base(INVPT)),
        Row("InvPT + Aux. Heads", auxiliary_heads()),
        Row("Ours", ours(INVPT)),
    ],
)
