"""JTR, Table 10: relative to a re-run baseline, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, labelled, methods

SETTINGS = ("onelabel", "randomlabels")
THREE = ("Supervised MTL", "MTPSL", "Ours (JTR)")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="10",
    rows=[row for setting in SETTINGS for row in methods(f"NYU-v2 {setting}", labelled(NYU, setting), *THREE)],
)
