"""JTR, Table 10: relative to a re-run baseline, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="10", missing=MISSING)
