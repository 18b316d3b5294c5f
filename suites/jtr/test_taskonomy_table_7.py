"""JTR, Table 7: time and memory, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import TASKONOMY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="taskonomy",
    id="7",
    rows=methods("Taskonomy", labelled(TASKONOMY, "onelabel"), "MTPSL [33]", "Ours (JTR)", epochs=20),
)
