"""DenseMTL, Table 6b: unsupervised domain adaptation, VKITTI2 to Cityscapes."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import adapted_rows

TABLE = Table(paper="dense_mtl", dataset="vkitti2_to_cityscapes", id="6b", rows=adapted_rows(classes=8))
