"""JTR, Table 11: single-task models, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import CITY, labelled, single_task

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="11",
    rows=[Row("STL", single_task(labelled(CITY, "onelabel")), panel="Cityscapes onelabel")],
)
