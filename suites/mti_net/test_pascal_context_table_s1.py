"""MTI-Net, Table S1: ablation study, ResNet-18 FPN, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import NO_PASCAL

TABLE = Table(paper="mti_net", dataset="pascal_context", id="S1", missing=NO_PASCAL)
