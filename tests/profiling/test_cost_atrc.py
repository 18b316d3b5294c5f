"""Multiply-accumulates of ATRC: exact parts of published measurements, by two counters.

Published figures (1 multiply-add = 1, NYUD-v2 at 425x560 on HRNet-48: 181.75e9) are fvcore's and contain its figures
for batch norms, for resizing, also to a map's own size, and for the auxiliary maps brought to the picture's size. What
is left is convolutions and matrix products: the public reference implementation counts the very numbers below.
"""

import pytest

from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

NYUD = {"semseg": 40, "depth": 1, "normals": 3, "edges": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 2, "normals": 3, "edges": 1}


def spec(backbone, relations, channels):
    return ModelSpec("atrc", backbone, tuple(channels), options=options(relations=relations))


# Backbone, relations, channels, size, 10^9 in convolutions and in matrix products, published total.
PUBLISHED = [
    ("hrnet48", "nyud_hrnet48", NYUD, (425, 560), 179.31595, 1.69873, 181.75),
    ("hrnet48", "nyud_hrnet48", NYUD, (448, 576), 191.92753, 1.82892, 194.54),
    ("hrnet18", "nyud_hrnet18", NYUD, (425, 560), 24.28033, 0.77427, 25.43),
    ("hrnet18", "pascal_hrnet18", PASCAL, (512, 512), 30.98823, 0.66598, 32.03),
]
# The same without the parts, which nobody measured on the public implementation.
TOTALS = [
    ("hrnet48", "global", NYUD, (425, 560), 176.48),
    ("hrnet48", "t-label", NYUD, (425, 560), 197.97),
]


@pytest.mark.parametrize(("backbone", "relations", "channels", "size", "conv", "matmul", "total"), PUBLISHED)
def test_published_cost(backbone, relations, channels, size, conv, matmul, total):
    cost = model_cost(spec(backbone, relations, channels), channels, size)
    assert set(cost.by_operator) == {"convolution", "bmm"}
    assert cost.by_operator["convolution"] / 1e9 == pytest.approx(conv, abs=6e-6)
    assert cost.by_operator["bmm"] / 1e9 == pytest.approx(matmul, abs=6e-6)
    assert 0.985 * total < cost.macs / 1e9 < total  # norms and resizing are the rest


@pytest.mark.parametrize(("backbone", "relations", "channels", "size", "total"), TOTALS)
def test_published_total(backbone, relations, channels, size, total):
    cost = model_cost(spec(backbone, relations, channels), channels, size)
    assert 0.985 * total < cost.macs / 1e9 < total


def test_second_counter_agrees_where_no_size_is_a_multiple():
    model, size = spec("hrnet_nano", "nyud_hrnet18", NYUD), (105, 140)
    ours, theirs = model_cost(model, NYUD, size), fvcore_cost(model, NYUD, size)
    assert theirs.params == ours.params
    assert theirs.by_operator["conv"] == ours.by_operator["convolution"]
    assert theirs.by_operator["matmul"] == ours.by_operator["bmm"]
    assert set(theirs.by_operator) == {"conv", "matmul", "batch_norm", "upsample_bilinear2d"}


def test_local_context_is_not_among_the_products():
    cost = model_cost(spec("hrnet_nano", "local", {"depth": 1}), {"depth": 1}, (32, 32))
    assert set(cost.by_operator) == {"convolution"}
    assert cost.uncounted["mul"] >= 2 * 81  # it multiplies window by window
