"""MTI-Net, Table S2a: the runs of Table 2a, more metrics of depth estimation."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import ablation

TABLE = Table(paper="mti_net", dataset="nyuv2", id="S2a", rows=ablation("Ours - w/o FPM", "Ours - w/ FPM"))
