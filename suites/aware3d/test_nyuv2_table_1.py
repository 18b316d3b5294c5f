"""3D-aware regularizer, Table 1: comparison with the state of the art, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2", id="1", missing=MISSING)
