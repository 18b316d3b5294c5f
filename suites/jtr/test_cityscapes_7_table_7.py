"""JTR, Table 7: time and memory, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="7",
    rows=methods("Cityscapes", labelled(CITY, "onelabel"), "MTPSL [33]", "Ours (JTR)", epochs=300),
)
