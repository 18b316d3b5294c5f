"""JTR, Table 7: time and memory, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="cityscapes_7", id="7", missing=MISSING)
