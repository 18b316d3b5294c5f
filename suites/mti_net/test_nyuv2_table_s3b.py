"""MTI-Net, Table S3b: the runs of Table S3a, more metrics of depth estimation, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import on_fpn

TABLE = Table(paper="mti_net", dataset="nyuv2", id="S3b", rows=on_fpn())
