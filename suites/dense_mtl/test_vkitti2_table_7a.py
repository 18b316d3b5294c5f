"""DenseMTL, Table 7a: task weights for two tasks, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="7a", missing=MISSING)
