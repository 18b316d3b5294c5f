"""DenseMTL, Table 6a: unsupervised domain adaptation, Synthia to Cityscapes."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import adapted_rows

TABLE = Table(paper="dense_mtl", dataset="synthia_to_cityscapes", id="6a", rows=adapted_rows(classes=16))
