"""MTI-Net, Table S3a: ablation study, ResNet-18 FPN, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import on_fpn

TABLE = Table(paper="mti_net", dataset="nyuv2", id="S3a", rows=on_fpn())
