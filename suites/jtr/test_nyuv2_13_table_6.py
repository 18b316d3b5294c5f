"""JTR, Table 6: time and memory, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="6", missing=MISSING)
