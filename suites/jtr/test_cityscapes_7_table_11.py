"""JTR, Table 11: single-task models, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="cityscapes_7", id="11", missing=MISSING)
