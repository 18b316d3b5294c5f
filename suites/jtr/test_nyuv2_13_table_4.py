"""JTR, Table 4: partial labels and unlabelled images, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, labelled, methods

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="4",
    rows=[
        row
        for share in (30, 50, 70)
        for row in methods(
            f"{100 - share}% randomlabels + {share}% unlabeled", labelled(NYU, "randomlabels", unlabelled=share)
        )
    ],
)
