"""DenseMTL, Table 5: segmentation with self-supervised depth, Cityscapes sequences."""

from mtlrepro.suite.table import Table
from suites.dense_mtl.methods import MISSING

TABLE = Table(paper="dense_mtl", dataset="cityscapes_sde", id="5", missing=MISSING)
