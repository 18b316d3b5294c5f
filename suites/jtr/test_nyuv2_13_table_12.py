"""JTR, Table 12: relative to single-task models, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="12", missing=MISSING)
