"""JTR, Table 13: relative to single-task models, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="taskonomy", id="13", missing=MISSING)
