"""JTR, Table 12: relative to single-task models, NYUv2, 13 classes."""

from mtlrepro.suite.table import Row, Table
from suites.jtr.methods import NYU, labelled, methods, single_task

SETTINGS = ("onelabel", "randomlabels")
THREE = ("Supervised MTL", "MTPSL", "Ours (JTR)")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="12",
    rows=[row for setting in SETTINGS for row in methods(f"NYU-v2 {setting}", labelled(NYU, setting), *THREE)],
    references=[Row("STL", single_task(labelled(NYU, setting)), panel=f"NYU-v2 {setting}") for setting in SETTINGS],
)
