"""MT-CP, Table 4: loss schemes, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mt_cp.methods import MISSING

TABLE = Table(paper="mt_cp", dataset="nyuv2", id="4", missing=MISSING)
