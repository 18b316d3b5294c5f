"""JTR, Table 8: reconstruction loss, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import CITY, labelled, with_and_without

TABLE = Table(
    paper="jtr",
    dataset="cityscapes_7",
    id="8",
    rows=with_and_without("Cityscapes onelabel", labelled(CITY, "onelabel")),
)
