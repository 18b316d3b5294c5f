"""JTR, Table 7: time and memory, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="taskonomy", id="7", missing=MISSING)
