"""The head of panoptic feature pyramids against a direct statement of it, and its published size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from torch.nn import functional as F

from mtlrepro.models.panoptic import PanopticHead

STRIDES = (4, 8, 16, 32)
DOUBLINGS = {1: [False], 2: [True], 4: [True, True], 8: [True, True, True]}
"""Stride of a level over the finest -> for each of its blocks, whether the size doubles after it."""


def maps(seed, widths, strides=STRIDES, size=(64, 96), batch=2):
    shapes = [(batch, c, size[0] // s, size[1] // s) for c, s in zip(widths, strides, strict=True)]
    return [m.double() for m in randn(seed, *shapes)]


def head(seed, *args, **values):
    """A head in float64 whose norms are not at their start."""
    torch.manual_seed(seed)
    module = PanopticHead(*args, **values).double()
    for parameter in module.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return module


def group_norm(values, norm):
    """Mean 0 and variance 1 over the channels of a group and all pixels of a sample, then scale and shift."""
    parts = []
    for group in values.chunk(norm.num_groups, dim=1):
        centred = group - group.mean((1, 2, 3), keepdim=True)
        parts.append(centred / (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt())
    return torch.cat(parts, 1) * norm.weight[:, None, None] + norm.bias[:, None, None]


def interpolation(n):
    """(2n, n) bilinear weights with half-pixel centres: a quarter from the neighbour on the nearer side."""
    weights = torch.zeros(2 * n, n, dtype=torch.float64)
    for i in range(n):
        weights[2 * i, i] = weights[2 * i + 1, i] = 0.75
        weights[2 * i, max(i - 1, 0)] += 0.25
        weights[2 * i + 1, min(i + 1, n - 1)] += 0.25
    return weights


def by_hand(module, levels, strides):
    total = torch.zeros((), dtype=torch.float64)
    for level, values, stride in zip(module.levels, levels, strides, strict=True):
        convolutions = [m for m in level.modules() if isinstance(m, torch.nn.Conv2d)]
        norms = [m for m in level.modules() if isinstance(m, torch.nn.GroupNorm)]
        for layer, norm, doubling in zip(convolutions, norms, DOUBLINGS[stride // strides[0]], strict=True):
            assert layer.bias is None
            values = group_norm(F.conv2d(values, layer.weight, padding=1), norm).relu()
            if doubling:
                values = interpolation(values.shape[-2]) @ values @ interpolation(values.shape[-1]).T
        total = total + values
    return F.conv2d(total, module.predict.weight, module.predict.bias)


@settings(max_examples=15, deadline=None)
@given(
    strides=st.sets(st.sampled_from(STRIDES), min_size=1).map(sorted),
    widths=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    groups=st.sampled_from([1, 2, 4, 8]),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_is_its_definition(strides, widths, groups, seed):
    widths = widths[: len(strides)]
    module = head(seed, widths, strides, 3, width=8, groups=groups)
    levels = maps(seed, widths, strides)
    found = module(levels)
    assert found.shape == (2, 3, *levels[0].shape[-2:])
    torch.testing.assert_close(found, by_hand(module, levels, strides), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("outputs", [1, 3, 7, 21, 40])
def test_published_parameters(outputs):
    with torch.device("meta"):
        module = PanopticHead((256,) * 4, STRIDES, outputs)
    counts = {kind: 0 for kind in (torch.nn.Conv2d, torch.nn.GroupNorm)}
    for layer in module.modules():
        if type(layer) in counts:
            counts[type(layer)] += sum(p.numel() for p in layer.parameters())
    assert counts == {torch.nn.Conv2d: 1_622_016 + 129 * outputs, torch.nn.GroupNorm: 1_792}
    assert {m.num_groups for m in module.modules() if isinstance(m, torch.nn.GroupNorm)} == {32}


def test_blocks_of_the_published_head():
    with torch.device("meta"):
        module = PanopticHead((64, 112, 160, 192), STRIDES, 1)
        layers = [[m.in_channels for m in x.modules() if isinstance(m, torch.nn.Conv2d)] for x in module.levels]
    assert layers == [[64], [112], [160, 128], [192, 128, 128]]
    doublings = [sum(isinstance(m, torch.nn.Upsample) for m in level.modules()) for level in module.levels]
    assert doublings == [0, 1, 2, 3]


@torch.no_grad()
def test_samples_do_not_see_each_other():
    module, levels = head(1, (4, 6, 8, 10), STRIDES, 2, width=8, groups=2), maps(2, (4, 6, 8, 10))
    alone = torch.cat([module([m[i : i + 1] for m in levels]) for i in range(2)])
    torch.testing.assert_close(module.train()(levels), alone)


def test_every_parameter_gets_a_gradient():
    module = head(3, (4, 6, 8, 10), STRIDES, 2, width=8, groups=2)
    module(maps(4, (4, 6, 8, 10))).square().mean().backward()
    assert all(p.grad.any() for p in module.parameters())
