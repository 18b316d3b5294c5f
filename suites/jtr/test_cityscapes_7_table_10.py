"""JTR, Table 10: relative to a re-run baseline, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, methods

ONELABEL = labelled(CITY, "onelabel")

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="10",
    rows=methods("Cityscapes onelabel", ONELABEL, "Supervised MTL", "MTPSL", "Ours (JTR)"),
)
