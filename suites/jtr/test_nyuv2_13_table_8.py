"""JTR, Table 8: reconstruction loss, NYUv2, 13 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import NYU, labelled, with_and_without

TABLE = Table(
    paper="jtr",
    dataset="nyuv2_13",
    id="8",
    rows=with_and_without("NYU-v2 randomlabels", labelled(NYU, "randomlabels")),
)
