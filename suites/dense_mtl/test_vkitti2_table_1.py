"""DenseMTL, Table 1: two sets of tasks, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="1", missing=MISSING)
