"""JTR, Table 19: time and memory of all methods, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import TASKONOMY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="taskonomy",
    id="19",
    rows=methods("Taskonomy", labelled(TASKONOMY, "onelabel"), epochs=20),
)
