"""JTR, Table 8: reconstruction loss, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import CITY, jtr, labelled, mtpsl

PANEL = "Cityscapes onelabel"
DATA = labelled(CITY, "onelabel")

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="8",
    rows=[
        Row("MTPSL w/o reg. [33]", mtpsl(DATA, regularisation=0.0), panel=PANEL),
        Row("MTPSL w/ reg. [33]", mtpsl(DATA), panel=PANEL),
        Row("JTR w/o L_Recon", jtr(DATA, reconstruct=False), panel=PANEL),
        Row("JTR w/ L_Recon", jtr(DATA), panel=PANEL),
    ],
)
