"""Attention: the lean form against the plain one and a brute-force loop, gradients, memory, determinism."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.models import attention
from mtlrepro.models.attention import lean, plain

SHAPES = st.tuples(*[st.integers(1, n) for n in (3, 9, 9, 5, 5)])


def draw(seed, shape, dtype, device="cpu"):
    batch, queries, keys, width, values = shape
    generator = torch.Generator().manual_seed(seed)
    sizes = ((batch, queries, width), (batch, keys, width), (batch, keys, values))
    # Channels first in memory, as convolutions give them.
    maps = [3 * torch.randn(b, c, n, dtype=dtype, generator=generator) for b, n, c in sizes]
    upstream = torch.randn(batch, queries, values, dtype=dtype, generator=generator)
    return [m.mT.to(device).requires_grad_() for m in maps], upstream.to(device)


def both_ways(form, inputs, upstream):
    result = form(*inputs)
    return [result.detach(), *torch.autograd.grad(result, inputs, upstream)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@settings(max_examples=50)
@given(shape=SHAPES, scores=st.integers(1, 60), seed=st.integers(0, 999))
def test_lean_is_plain(dtype, tolerance, shape, scores, seed):
    inputs, upstream = draw(seed, shape, dtype)
    expected = both_ways(plain, inputs, upstream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attention.SCORES, "cpu", scores)
        found = both_ways(lean, inputs, upstream)
        with torch.no_grad():
            assert torch.equal(lean(*inputs), found[0])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", [lean, plain])
def test_brute_force(form):
    query, key, value = (m.detach() for m in draw(1, (2, 4, 5, 3, 2), torch.float64)[0])
    found = form(query, key, value)
    for b in range(2):
        for p in range(4):
            scores = [math.exp(sum(query[b, p, c] * key[b, q, c] for c in range(3)) / math.sqrt(3)) for q in range(5)]
            for c in range(2):
                expected = sum(s * value[b, q, c].item() for q, s in enumerate(scores)) / sum(scores)
                assert found[b, p, c].item() == pytest.approx(expected, rel=1e-12)


def test_gradient_numerically(monkeypatch):
    monkeypatch.setitem(attention.SCORES, "cpu", 20)  # two rows of five keys for two images at a time
    inputs, _ = draw(2, (2, 5, 5, 3, 2), torch.float64)
    assert torch.autograd.gradcheck(lean, inputs)


@pytest.mark.parametrize("form", [lean, plain])
def test_large_scores_stay_finite(form):
    inputs, upstream = draw(3, (1, 6, 7, 4, 3), torch.float32)
    scaled = [100 * inputs[0], 100 * inputs[1], inputs[2]]
    assert all(values.isfinite().all() for values in both_ways(form, scaled, upstream))


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_queries_that_no_part_divides_evenly(monkeypatch, rows):
    inputs, upstream = draw(4, (2, 7, 5, 3, 2), torch.float64)
    expected = both_ways(lean, inputs, upstream)
    monkeypatch.setitem(attention.SCORES, "cpu", rows * 2 * 5)
    for one, other in zip(both_ways(lean, inputs, upstream), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_nothing_as_large_as_the_matrix_of_scores_is_kept(monkeypatch):
    monkeypatch.setitem(attention.SCORES, "cpu", 64 * 512)
    inputs, _ = draw(5, (1, 512, 512, 8, 8), torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        lean(*inputs)
    assert kept == [4096] * 4


def test_one_derivative_only():
    inputs, _ = draw(6, (1, 3, 3, 2, 2), torch.float64)
    (gradient,) = torch.autograd.grad(lean(*inputs).square().sum(), inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_bits(device, monkeypatch):
    monkeypatch.setitem(attention.SCORES, device, 100 * 600)
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        inputs, upstream = draw(7, (2, 500, 600, 32, 32), torch.float32, device)
        first = both_ways(lean, inputs, upstream)
        assert all(torch.equal(a, b) for a, b in zip(first, both_ways(lean, inputs, upstream), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)
