"""JTR, Table 12: relative to single-task models, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import CITY, labelled, methods, single_task

ONELABEL = labelled(CITY, "onelabel")

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="12",
    rows=methods("Cityscapes onelabel", ONELABEL, "Supervised MTL", "MTPSL", "Ours (JTR)"),
    references=[Row("STL", single_task(ONELABEL), panel="Cityscapes onelabel")],
)
