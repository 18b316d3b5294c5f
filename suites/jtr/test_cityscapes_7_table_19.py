"""JTR, Table 19: time and memory of all methods, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="19",
    rows=methods("Cityscapes", labelled(CITY, "onelabel"), epochs=300),
)
