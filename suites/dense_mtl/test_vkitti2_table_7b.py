"""DenseMTL, Table 7b: task weights for three tasks, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import SDN, reference, weighted

GRID = (1, 1, 1), (10, 1, 1), (10, 1, 10), (50, 1, 1), (50, 1, 10), (50, 1, 50), (100, 1, 1), (100, 1, 10)
GRID += (100, 1, 50), (100, 1, 100), (150, 1, 10), (150, 1, 50), (150, 1, 100)

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="7b", rows=weighted(SDN, *GRID), references=[reference(SDN)])
