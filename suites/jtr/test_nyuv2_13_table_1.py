"""JTR, Table 1: partial labels, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="1", missing=MISSING)
