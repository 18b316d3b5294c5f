"""JTR, Table 18: time and memory of all methods, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, RESNET, labelled, methods

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="18",
    rows=[
        *methods("SegNet", RANDOM, epochs=300),
        *methods("ResNet-50", RANDOM, epochs=300, network=RESNET),
    ],
)
