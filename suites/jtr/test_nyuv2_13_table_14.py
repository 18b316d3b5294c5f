"""JTR, Table 14: mean and deviation of three runs, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="14", missing=MISSING)
