"""3D-aware regularizer, Table 3: cross-view consistency, NYUv2 with video frames."""

from mtlrepro.suite.table import Table
from suites.aware3d.methods import MISSING

TABLE = Table(paper="aware3d", dataset="nyuv2_video", id="3", missing=MISSING)
