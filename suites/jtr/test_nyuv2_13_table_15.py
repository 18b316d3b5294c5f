"""JTR, Table 15: ResNet-50, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="nyuv2_13", id="15", missing=MISSING)
