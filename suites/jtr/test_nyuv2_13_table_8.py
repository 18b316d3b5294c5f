"""JTR, Table 8: reconstruction loss, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, jtr, labelled, mtpsl

PANEL = "NYU-v2 randomlabels"
DATA = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="8",
    rows=[
        Row("MTPSL w/o reg. [33]", mtpsl(DATA, regularisation=0.0), panel=PANEL),
        Row("MTPSL w/ reg. [33]", mtpsl(DATA), panel=PANEL),
        Row("JTR w/o L_Recon", jtr(DATA, reconstruct=False), panel=PANEL),
        Row("JTR w/ L_Recon", jtr(DATA), panel=PANEL),
    ],
)
