"""JTR, Table 15: ResNet-50, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, RESNET, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="15",
    rows=methods("", labelled(NYU, "randomlabels"), network=RESNET),
)
