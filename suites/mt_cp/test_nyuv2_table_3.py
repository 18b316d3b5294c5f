"""MT-CP, Table 3: modules left out, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mt_cp.methods import MISSING

TABLE = Table(paper="mt_cp", dataset="nyuv2", id="3", missing=MISSING)
