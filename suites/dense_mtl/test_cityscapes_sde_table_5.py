"""DenseMTL, Table 5: segmentation with self-supervised depth, Cityscapes sequences."""

from mtlrepro.suite.table import Row, Table
from suites.dense_mtl.methods import OURS, THREE_WAYS, self_supervised

TABLE = Table(
    paper="dense_mtl",
    dataset="cityscapes_sde",
    id="5",
    rows=[
        Row("3-ways PAD-Net [12]", self_supervised(THREE_WAYS)),
        Row("3-ways mTEB ours", self_supervised(OURS)),
    ],
)
