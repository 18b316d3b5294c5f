"""MTI-Net, Table 6b: comparison with the state of the art, segmentation, HRNet-48, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import state_of_the_art

TABLE = Table(paper="mti_net", dataset="nyuv2", id="6b", rows=state_of_the_art())
