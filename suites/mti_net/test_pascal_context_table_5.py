"""MTI-Net, Table 5: comparison with the state of the art, PASCAL-Context."""

from mtlrepro.suite.table import Table
from suites.mti_net.methods import NO_PASCAL

TABLE = Table(paper="mti_net", dataset="pascal_context", id="5", missing=NO_PASCAL)
