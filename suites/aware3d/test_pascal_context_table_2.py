"""3D-aware regularizer, Table 2: comparison with the state of the art, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="pascal_context", id="2", missing=MISSING)
