"""3D-aware regularizer, Table 4: auxiliary heads instead of the regularizer, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2", id="4", missing=MISSING)
