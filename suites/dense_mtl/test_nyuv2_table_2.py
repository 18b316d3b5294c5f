"""DenseMTL, Table 2: three sets of tasks, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import NYUD, SD, SDN, SDNE, methods

TABLE = Table(
    paper="dense_mtl",
    dataset="nyuv2",
    id="2",
    rows=[*methods("S-D", NYUD, SD), *methods("S-D-N", NYUD, SDN), *methods("S-D-N-E", NYUD, SDNE)],
)
