"""MT-CP, Table 3: modules left out, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.mt_cp.methods import mt_cp, single_task

TABLE = Table(
    paper="mt_cp",
    dataset="nyuv2",
    id="3",
    rows=[
        Row("MT-CP", mt_cp()),
        Row("MT-CP w/o CFM", mt_cp(cfm=False)),
        Row("MT-CP w/o SRM", mt_cp(srm=False)),
        Row("MT-CP w/o CFM & SRM", mt_cp(cfm=False, srm=False)),
        *single_task(),
    ],
)
