"""JTR, Table 12: relative to single-task models, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="cityscapes_7", id="12", missing=MISSING)
