"""DenseMTL, Table 1: two sets of tasks, Cityscapes."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import CITYSCAPES, SD, SDN, methods

TABLE = Table(
    paper="dense_mtl",
    dataset="cityscapes",
    id="1",
    rows=[*methods("Cityscapes/S-D", CITYSCAPES, SD), *methods("Cityscapes/S-D-N", CITYSCAPES, SDN)],
)
