"""JTR, Table 2: partial labels, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="2",
    rows=methods("onelabel", labelled(CITY, "onelabel"), "MTPSL [33]", "Ours (JTR)"),
)
