"""JTR, Table 3: partial labels, seven tasks, Taskonomy."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import TASKONOMY, labelled, methods

SETTINGS = ("onelabel", "randomlabels", "halflabels")

TABLE = Table(
    paper="jtr",
    dataset="taskonomy",
    id="3",
    rows=[
        row
        for setting in SETTINGS
        for row in methods(setting, labelled(TASKONOMY, setting), "Consistency Reg.", "MTPSL [33]", "Ours (JTR)")
    ],
    references=[
        row for setting in SETTINGS for row in methods(setting, labelled(TASKONOMY, setting), "Supervised MTL")
    ],
)
