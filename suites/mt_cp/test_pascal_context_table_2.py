"""MT-CP, Table 2: comparison with the state of the art, PASCAL-Context.

All competitors are copied from other work. The released script does not weigh the tasks on this dataset, which is a
line of its own here.
"""

from mtlrepro.suite.table import Row, Table
from suites.mt_cp.methods import PASCAL, PLAIN_SUM, mt_cp, single_task

TABLE = Table(
    paper="mt_cp",
    dataset="pascal_context",
    id="2",
    rows=[
        *single_task(PASCAL),
        Row("MT-CP", mt_cp(PASCAL)),
        Row("MT-CP, plain sum", mt_cp(PASCAL, PLAIN_SUM), reading_of="MT-CP"),
    ],
)
