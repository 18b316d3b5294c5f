"""DenseMTL, Table 4a: fusion operation, VKITTI2."""

from mtlrepro.suite.table import Row, Table
from suites.dense_mtl.methods import SDN, VKITTI2, ours, reference

TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="4a",
    rows=[
        Row("concat", ours(VKITTI2, SDN, fusion="concat")),
        Row("prod", ours(VKITTI2, SDN, fusion="prod")),
        Row("add", ours(VKITTI2, SDN)),
    ],
    references=[reference(SDN)],
)
