"""DenseMTL, self-attention in the text of appendix A.2, VKITTI2."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="vkitti2", id="A2", missing=MISSING)
