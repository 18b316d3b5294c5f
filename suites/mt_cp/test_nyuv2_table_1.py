"""MT-CP, Table 1: comparison with the state of the art, NYUD-v2.

All competitors are copied from other work: other tasks, other backbones, other initial weights.
"""

from mtlrepro.suite.table import Row, Table
from suites.mt_cp.methods import mt_cp, single_task

TABLE = Table(
    paper="mt_cp",
    dataset="nyuv2",
    id="1",
    rows=[
        *single_task(),
        Row("MT-CP", mt_cp()),
    ],
)
