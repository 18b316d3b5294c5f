"""MTI-Net, Table S2b: the runs of Table 2a, more metrics of semantic segmentation."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import ablation

TABLE = Table(paper="mti_net", dataset="nyuv2", id="S2b", rows=ablation("Ours - w/o FPM", "Ours - w/ FPM"))
