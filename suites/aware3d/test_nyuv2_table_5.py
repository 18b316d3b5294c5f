"""3D-aware regularizer, Table 5: predictions of heads and regularizer, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2", id="5", missing=MISSING)
