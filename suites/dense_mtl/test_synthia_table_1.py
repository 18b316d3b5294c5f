"""DenseMTL, Table 1: two sets of tasks, Synthia."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="synthia", id="1", missing=MISSING)
