"""MT-CP, Table 1: comparison with the state of the art, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mt_cp.methods import MISSING

TABLE = Table(paper="mt_cp", dataset="nyuv2", id="1", missing=MISSING)
