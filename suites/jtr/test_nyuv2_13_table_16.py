"""JTR, Table 16: distance in the joint-task space, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, jtr, labelled, supervised

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="16",
    rows=[
        Row("Supervised MTL", supervised(RANDOM)),
        Row("L1 Norm.", jtr(RANDOM, distance="l1")),
        Row("L2 Norm.", jtr(RANDOM, distance="l2")),
        Row("Cosine Distance", jtr(RANDOM)),
    ],
)
