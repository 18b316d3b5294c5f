"""MT-CP, Table 2: comparison with the state of the art, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mt_cp.methods import MISSING

TABLE = Table(paper="mt_cp", dataset="pascal_context", id="2", missing=MISSING)
