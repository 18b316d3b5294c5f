"""JTR, Table 5: partial labels and unlabelled images, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="5",
    rows=[
        row
        for share in (30, 50, 70)
        for row in methods(f"{100 - share}% onelabel, {share}% unlabeled", labelled(CITY, "onelabel", unlabelled=share))
    ],
)
