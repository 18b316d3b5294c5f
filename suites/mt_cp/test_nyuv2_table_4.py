"""MT-CP, Table 4: loss schemes, NYUD-v2; beside the printed rows, what paper or released code may also mean by them."""

from mtlrepro.suite.table import Row, Table
from suites.mt_cp.methods import EQUAL, LOG, LPS, LPS_L, PLAIN_SUM, PRIORITY, SQUARED, WIDE, mt_cp, single_task

HEADLINE, EQUALLY = "MT-CP (LPS)", "MT-CP (w/ EW)"

TABLE = Table(
    paper="mt_cp",
    dataset="nyuv2",
    id="4",
    rows=[
        Row(HEADLINE, mt_cp(scheme=LPS)),
        Row("MT-CP, log of losses", mt_cp(scheme=LPS_L), reading_of=HEADLINE),
        Row("MT-CP, kappa 7.5", mt_cp(scheme=WIDE), reading_of=HEADLINE),
        Row("MT-CP, squared normals", mt_cp(losses=SQUARED), reading_of=HEADLINE),
        Row(EQUALLY, mt_cp(scheme=EQUAL)),
        Row("MT-CP, plain sum", mt_cp(scheme=PLAIN_SUM), reading_of=EQUALLY),
        Row("MT-CP (w/ Log Smoothing)", mt_cp(scheme=LOG)),
        Row("MT-CP (w/ Loss Prioritization)", mt_cp(scheme=PRIORITY)),
        *single_task(),
    ],
)
