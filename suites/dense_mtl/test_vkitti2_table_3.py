"""DenseMTL, Table 3: positions of the exchange block, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="3", missing=MISSING)
