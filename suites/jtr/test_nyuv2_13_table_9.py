"""JTR, Table 9: MuST, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, jtr, labelled, mtpsl, must, single_task

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="9",
    rows=[
        Row("MuST STL Teachers [21]", single_task(RANDOM)),
        Row("MuST MTL Student [21]", must(RANDOM)),
        Row("MTPSL [33]", mtpsl(RANDOM)),
        Row("Ours (JTR)", jtr(RANDOM)),
    ],
)
