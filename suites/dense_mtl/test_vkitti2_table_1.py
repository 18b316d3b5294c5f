"""DenseMTL, Table 1: two sets of tasks, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import SD, SDN, VKITTI2, methods

TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="1",
    rows=[*methods("VKITTI2/S-D", VKITTI2, SD), *methods("VKITTI2/S-D-N", VKITTI2, SDN)],
)
