"""JTR, Table 3: partial labels, seven tasks, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="taskonomy", id="3", missing=MISSING)
