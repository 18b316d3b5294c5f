"""MTI-Net, Table 7b: parameters, multiply-accumulates and multi-task performance, ResNet-50 FPN, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import NO_PASCAL

TABLE = Table(paper="mti_net", dataset="pascal_context", id="7b", missing=NO_PASCAL)
