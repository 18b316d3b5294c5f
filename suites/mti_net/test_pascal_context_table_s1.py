"""MTI-Net, Table S1: ablation study, ResNet-18 FPN, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import R18_FPN, pascal_ablation

TABLE = Table(paper="mti_net", dataset="pascal_context", id="S1", rows=pascal_ablation(R18_FPN))
