"""3D-aware regularizer, Table 1: comparison with the state of the art, NYUD-v2.

Cross-Stitch, PAP, PSD and PAD-Net are copied from other work. So are ATRC, MTI-Net and InvPT, which are trained here
too: what the regularizer gains is judged against them.
"""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, MTI_NET, atrc, base, ours

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2",
    id="1",
    rows=[
        Row("ATRC (Bruggemann et al., 2021)", atrc(), panel="HRNet-48"),
        Row("MTI-Net (Vandenhende et al., 2020b)", base(MTI_NET), panel="HRNet-48"),
        Row("Ours", ours(MTI_NET), panel="HRNet-48"),
        Row("InvPT (Ye & Xu, 2022a)", base(INVPT), panel="ViT-L"),
        Row("Ours", ours(INVPT), panel="ViT-L"),
    ],
)
