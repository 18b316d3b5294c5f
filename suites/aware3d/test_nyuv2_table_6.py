"""3D-aware regularizer, Table 6: tasks that are rendered, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2", id="6", missing=MISSING)
