"""JTR, Table 1: partial labels, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, depth_extended, labelled, methods

OURS = ("MTPSL [33]", "Ours (JTR)")
ONELABEL = labelled(NYU, "onelabel")

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="1",
    rows=[
        *methods("onelabel", ONELABEL, *OURS),
        *methods("depth-extended onelabel", depth_extended(ONELABEL)),
        *methods("randomlabels", labelled(NYU, "randomlabels"), *OURS),
    ],
)
