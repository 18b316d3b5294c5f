"""DenseMTL, self-attention in the text of appendix A.2, VKITTI2. "With" is Table 4a's "concat", so both are."""

from mtlrepro.suite.table import Row, Table
from suites.dense_mtl.methods import SDN, VKITTI2, ours, reference

TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="A2",
    rows=[
        Row("without self-attention", ours(VKITTI2, SDN, fusion="concat", self_attention=False)),
        Row("with self-attention", ours(VKITTI2, SDN, fusion="concat")),
    ],
    references=[reference(SDN)],
)
