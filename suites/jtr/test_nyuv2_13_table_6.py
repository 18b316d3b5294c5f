"""JTR, Table 6: time and memory, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, RESNET, labelled, methods

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="6",
    rows=[
        *methods("SegNet", RANDOM, "MTPSL [33]", "Ours (JTR)", epochs=300),
        *methods("ResNet-50", RANDOM, "MTPSL [33]", "Ours (JTR)", epochs=300, network=RESNET),
    ],
)
