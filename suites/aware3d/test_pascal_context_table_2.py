"""3D-aware regularizer, Table 2: comparison with the state of the art, PASCAL-Context.

ASTMT, PAD-Net, MTI-Net and ATRC are copied from other work and of other networks than the heading's; so is InvPT, which
is trained here too. MTI-Net* is the authors' own.
"""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, MTI_NET, PASCAL, base, ours

TABLE = Table(
    paper="aware3d",
    dataset="pascal_context",
    id="2",
    rows=[
        Row("MTI-Net* (Vandenhende et al., 2020b)", base(MTI_NET, PASCAL), panel="HRNet-48"),
        Row("Ours", ours(MTI_NET, PASCAL), panel="HRNet-48"),
        Row("InvPT (Ye & Xu, 2022a)", base(INVPT, PASCAL), panel="ViT-L"),
        Row("Ours", ours(INVPT, PASCAL), panel="ViT-L"),
    ],
)
