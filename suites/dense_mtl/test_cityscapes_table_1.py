"""DenseMTL, Table 1: two sets of tasks, Cityscapes."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="cityscapes", id="1", missing=MISSING)
