"""JTR, Table 14: mean and deviation of three runs, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, jtr, labelled, mtpsl

RANDOM = labelled(NYU, "randomlabels")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="14",
    rows=[Row("MTPSL", mtpsl(RANDOM)), Row("JTR", jtr(RANDOM))],
)
