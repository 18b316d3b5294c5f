"""JTR, Table 11: single-task models, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, labelled, single_task

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="11",
    rows=[
        Row("STL", single_task(labelled(NYU, setting)), panel=f"NYU-v2 {setting}")
        for setting in ("onelabel", "randomlabels")
    ],
)
