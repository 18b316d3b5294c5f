"""MTI-Net, Table 2b: ablation study, HRNet-18, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import NO_PASCAL

TABLE = Table(paper="mti_net", dataset="pascal_context", id="2b", missing=NO_PASCAL)
