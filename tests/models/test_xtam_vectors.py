"""Cross-task attention and its block: vectors of the public implementation, published sizes."""

import pytest
import torch
from dense_vectors import assert_sums, fill, fill_conv_norm
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from torch import nn

from mtlrepro.models.attention import plain
from mtlrepro.models.distillation import AttentionUnit
from mtlrepro.models.xtam import ExchangeBlock, SpatialAttention

SHAPE, PLACE = (2, 4, 6, 8), (2, 3)
SD, SDN, SDNE = (tuple("SDNE")[:n] for n in (2, 3, 4))


def source():
    return randn(121, SHAPE)[0].relu()


def spatial(**values):
    attention = SpatialAttention(4, 2, **values)
    fill_conv_norm(attention.query, 100)
    fill_conv_norm(attention.key, 103)
    fill_conv_norm(attention.value, 106)
    nn.init.zeros_(attention.alpha).data += randn(109, (1, 4, 1, 1))[0]
    return attention


@pytest.mark.parametrize("values", [{}, {"attend": plain}], ids=["lean", "plain"])
def test_spatial_attention_vectors(values):
    query, attention = randn(120, SHAPE)[0], spatial(**values)
    found = attention.eval()(query, source())
    assert_sums(found, -20.05360, (-0.076128, 0, -0.175264, 0.008819), PLACE)
    assert found.abs().sum().item() == pytest.approx(28.23803, rel=1e-4)
    found = attention.train()(query, source())
    assert_sums(found, 111.71176, (-0.028171, 0.798462, -0.243109, 0.147477), PLACE)
    assert found.abs().sum().item() == pytest.approx(176.57319, rel=1e-4)
    attention = spatial(**values).eval()
    nn.init.ones_(attention.alpha)
    found = attention(query, source())
    assert_sums(found[1:], 64.85765 - found[0].sum().item(), (0.450040, 0.008206, 0.163496, 0.085839), (5, 7))


def test_self_attention_vector():
    attention = AttentionUnit(4, 2)
    fill(attention.mask, 130)
    fill(attention.value, 131)
    found = attention(source())
    assert_sums(found, -9.04221, (0.062984, 0.408870), PLACE)
    assert found.abs().sum().item() == pytest.approx(55.19245, rel=1e-4)


BLOCKS = {
    ("spatial", True, "add"): {
        "eval": (
            (37.07320, (1.662900, 0.678158, 0.831602, -0.050129)),
            (12.78066, (-1.095989, 0.191133, -0.249439, -0.141573)),
        ),
        "train": (
            (167.99902, (2.329595, 0.627564, 0.721719, -0.237260)),
            (152.72829, (-0.792086, 0.476406, 0.700262, 0.430752)),
        ),
    },
    ("spatial", True, "prod"): {
        "eval": ((-0.61749, (0, 0.031751, 0.079305, -0.044399)), (-0.00750, (0, 0, 0, -0.001922))),
        "train": ((-30.39536, (1.108646, 0, 0, 0)), (4.70704, (-0.333074, 0.054525, -0.236893, -0.090087))),
    },
    ("spatial", True, "concat"): {
        "eval": ((81.78815, (0, 0.257507, 0, 0.795355)), (51.59868, (0.464865, 0, 0, 0.010062))),
        "train": ((179.56885, (0, 0.474184, 0, 1.547344)), (154.01335, (1.022720, 0.099314, 0, 0))),
    },
    ("spatial", False, "add"): {
        "eval": (
            (33.18513, (1.662900, 0.640090, 0.827232, -0.063267)),
            (14.65046, (-1.095989, 0.191133, -0.249439, -0.108426)),
        ),
        "train": (
            (173.96531, (2.025465, 1.117815, 2.307186, -0.237260)),
            (150.89720, (-0.544052, 0.191133, -0.102167, -0.154048)),
        ),
    },
    ("none", True, "add"): {
        "eval": (
            (33.76601, (1.662900, 0.641253, 0.824143, -0.058301)),
            (17.10820, (-1.095989, 0.191133, -0.249439, -0.074515)),
        ),
        "train": (
            (177.37540, (1.662900, 0.627564, 0.721719, -0.237260)),
            (165.06395, (-0.954781, 1.119756, 0.533362, 0.416096)),
        ),
    },
}


def filled(attention, self_attention, fusion):
    block = ExchangeBlock(SD, 4, 2, fusion=fusion, attention=attention, self_attention=self_attention)
    for base, target, other in ((200, "S", "D"), (300, "D", "S")):
        path = block.paths[target][other]
        fill(path.extract[0], base)
        if path.own is not None:
            fill(path.own.mask, base + 1)
            fill(path.own.value, base + 2)
        for cross in path.cross:
            for seed, projection in ((10, cross.query), (13, cross.key), (16, cross.value)):
                fill_conv_norm(projection, base + seed)
            cross.alpha.data.copy_(randn(base + 19, (1, 4, 1, 1))[0])
        fill_conv_norm(path.project, base + 30)
        fill_conv_norm(block.fuse[target], base + 40)
    return block


@pytest.mark.parametrize("variant", BLOCKS, ids=str)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_block_vectors(variant, mode):
    block = filled(*variant).train(mode == "train")
    features = dict(zip(SD, (randn(seed, SHAPE)[0] for seed in (400, 401)), strict=True))
    found = block(features)
    for task, vector in zip(SD, BLOCKS[variant][mode], strict=True):
        assert_sums(found[task], *vector, PLACE)


def size(tasks, channels=128, **values):
    with torch.device("meta"):
        block = ExchangeBlock(tasks, channels, 4, **values)
    return sum(p.numel() for p in block.parameters())


@settings(max_examples=12)
@given(n=st.integers(2, 5), half=st.integers(1, 64), fusion=st.sampled_from(["add", "prod", "concat"]))
def test_formula_of_the_block_size(n, half, fusion):
    c = 2 * half
    entering = n - 1 + (fusion == "concat")
    expected = n * (n - 1) * (22.5 * c**2 + 10 * c) + n * (entering * c**2 + 2 * c)
    assert size([str(i) for i in range(n)], c, fusion=fusion) == expected


@pytest.mark.parametrize(
    ("values", "published"),
    [
        ({"fusion": "add"}, (773_120, 2_318_592, 4_636_672)),
        ({"fusion": "prod"}, (773_120, 2_318_592, 4_636_672)),
        ({"fusion": "concat"}, (805_888, 2_367_744, 4_702_208)),
        ({"attention": "none"}, (640_256, 1_920_000, 3_839_488)),
        ({"self_attention": False}, (461_824, 1_384_704, 2_768_896)),
        ({"fusion": "concat", "self_attention": False}, (494_592, 1_433_856, 2_834_432)),
    ],
    ids=str,
)
def test_ablation_sizes(values, published):
    assert tuple(size(tasks, **values) for tasks in (SD, SDN, SDNE)) == published


def test_reconstructed_sizes():
    assert size(SDN, fusion="concat", attention="channel") == 2_067_462
    assert size(SDN, fusion="concat", attention="both") == 2_466_054
