"""JTR, Table 17: bottleneck of the auto-encoder, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, WIDTHS, jtr, labelled, supervised

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="17",
    rows=[
        Row("Supervised MTL", supervised(RANDOM)),
        Row("256×9×12", jtr(RANDOM, widths=(*WIDTHS[:-1], 256))),
        Row("512×9×12", jtr(RANDOM)),
        Row("1024×9×12", jtr(RANDOM, widths=(*WIDTHS[:-1], 1024))),
    ],
)
