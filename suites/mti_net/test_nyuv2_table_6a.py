"""MTI-Net, Table 6a: comparison with the state of the art, depth, HRNet-48, NYUD-v2."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import NO_HRNET48

TABLE = Table(paper="mti_net", dataset="nyuv2", id="6a", missing=NO_HRNET48)
