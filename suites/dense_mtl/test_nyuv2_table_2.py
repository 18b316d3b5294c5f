"""DenseMTL, Table 2: three sets of tasks, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="nyuv2", id="2", missing=MISSING)
