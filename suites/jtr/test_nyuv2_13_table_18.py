"""JTR, Table 18: time and memory of all methods, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="18", missing=MISSING)
