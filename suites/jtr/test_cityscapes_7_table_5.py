"""JTR, Table 5: partial labels and unlabelled images, Cityscapes, 7 classes."""

from mtlrepro.suite.table import Table
from suites.jtr.methods import MISSING

TABLE = Table(paper="jtr", dataset="cityscapes_7", id="5", missing=MISSING)
