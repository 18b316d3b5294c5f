"""DenseMTL, Table 1: two sets of tasks, Synthia."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import SD, SDN, SYNTHIA, methods

TABLE = Table(
    paper="dense_mtl",
    dataset="synthia",
    id="1",
    rows=[*methods("Synthia/S-D", SYNTHIA, SD), *methods("Synthia/S-D-N", SYNTHIA, SDN)],
)
