"""DenseMTL, Table 4b: type of attention, VKITTI2. Its first row is that of Table 4a with "concat", so all are."""

from mtlrepro.suite.table import Row, Table
from suites.dense_mtl.methods import SDN, VKITTI2, ours, reference

TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="4b",
    rows=[
        Row("spatial", ours(VKITTI2, SDN, fusion="concat")),
        Row("channel", ours(VKITTI2, SDN, fusion="concat", attention="channel")),
        Row("both", ours(VKITTI2, SDN, fusion="concat", attention="both")),
    ],
    references=[reference(SDN)],
)
