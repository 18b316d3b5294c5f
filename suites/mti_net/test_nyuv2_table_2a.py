"""MTI-Net, Table 2a: ablation study on NYUD-v2, HRNet-18."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import ablation

TABLE = Table(paper="mti_net", dataset="nyuv2", id="2a", rows=ablation("Ours (w/o FPM)", "Ours (w/ FPM)"))
