"""JTR, Table 13: relative to single-task models, Taskonomy."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import TASKONOMY, labelled, methods, single_task

SETTINGS = ("onelabel", "randomlabels", "halflabels")
FOUR = ("Supervised MTL", "Consistency Reg.", "MTPSL", "Ours (JTR)")

TABLE = Table(
    paper="jtr",
    dataset="taskonomy",
    id="13",
    rows=[row for setting in SETTINGS for row in methods(setting, labelled(TASKONOMY, setting), *FOUR)],
    references=[Row("STL", single_task(labelled(TASKONOMY, setting)), panel=setting) for setting in SETTINGS],
)
