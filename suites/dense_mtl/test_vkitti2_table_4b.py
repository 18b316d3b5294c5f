"""DenseMTL, Table 4b: type of attention, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="4b", missing=MISSING)
