"""3D-aware regularizer, Table 7: size of the training set, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2", id="7", missing=MISSING)
