"""DenseMTL, Table 7a: task weights for two tasks, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import SD, reference, weighted

TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="7a",
    rows=weighted(SD, (1, 1), (1, 10), (10, 1), (50, 1), (100, 1), (100, 10), (200, 1), (500, 1)),
    references=[reference(SD)],
)
