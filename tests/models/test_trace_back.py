"""Spatial refinement and trace-back: vectors of the public implementation, published sizes, wiring."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream, assert_sums
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.trace_back import SpatialRefinement, TraceBack

WIDTHS = (6, 10, 14)


def test_vectors():
    refinement, stream = SpatialRefinement(32, 64, 256), Stream(13, 0.1)
    for gate in (refinement.gate, refinement.stage_gate):
        stream.fill(*gate.channel.parameters(), gate.place[0].weight)
    stream.fill(*refinement.prediction[0].parameters(), *refinement.carry[0].parameters())
    carried, stage = stream.normal(2, 32, 8, 10), stream.normal(2, 64, 4, 5)
    prediction, carry = refinement.eval()(carried, stage)
    assert (prediction.shape, carry.shape) == ((2, 256, 4, 5), (2, 64, 4, 5))
    assert_sums(prediction, 788.690409, 788.690409, 196.732633, [0.283917, 0, 0.017555], 0)
    assert_sums(carry, 180.845103, 180.845103, 45.294247, [0.286742, 0.058661, 0.128812], 0)
    prediction, carry = refinement.train()(carried, stage)
    assert_sums(prediction, 3912.649685, 3912.649685, 5170.757861, [0.655497, 0, 0], 0)
    assert_sums(carry, 970.870993, 970.870993, 1305.260357, [0.703357, 0, 0], 0)


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_published_sizes():
    with torch.device("meta"):
        refinements = [SpatialRefinement(*widths, 256) for widths in ((256, 1024), (1024, 512), (512, 256))]
        chain = TraceBack(256, (256, 512, 1024))
    assert [size(r) for r in refinements] == [1_783_064, 1_347_624, 436_728]
    assert size(chain) == 3_370_040


def chain_and_inputs(seed, base, start=None):
    torch.manual_seed(seed)
    h, w = base
    sizes = [(-(-h // s), -(-w // s)) for s in (1, 2, 4)]
    maps = [torch.randn(2, c, *s, dtype=torch.float64, requires_grad=True) for c, s in zip(WIDTHS, sizes, strict=True)]
    first = torch.randn(2, 8, *(start or base), dtype=torch.float64, requires_grad=True)
    return TraceBack(8, WIDTHS).double(), first, maps


@settings(max_examples=15)
@given(base=st.tuples(st.integers(1, 13), st.integers(2, 13)), seed=st.integers(0, 99))
def test_coarse_to_fine_at_any_size(base, seed):
    chain, start, maps = chain_and_inputs(seed, base)
    found = chain(start, maps)
    assert [f.shape for f in found] == [(2, 8, *m.shape[2:]) for m in reversed(maps)]
    assert all((f >= 0).all() for f in found)


def test_everything_learns():
    chain, start, maps = chain_and_inputs(0, (12, 16))
    learned = [start, *maps, *chain.parameters()]
    assert all(g.any() for g in torch.autograd.grad(sum(f.square().sum() for f in chain(start, maps)), learned))


def test_what_is_carried_goes_on_and_what_is_predicted_from_does_not():
    chain, start, maps = chain_and_inputs(1, (12, 16))
    coarse, middle, fine = chain(start, maps)
    first, second, third = chain.refinements
    carried = second(first(start, maps[2])[1], maps[1])[1]
    torch.testing.assert_close(third(carried, maps[0]), (fine, None))
    side = list(first.prediction.parameters())
    for finer in (middle, fine):
        gradients = torch.autograd.grad(finer.sum(), side, allow_unused=True, retain_graph=True)
        assert gradients == (None,) * len(side)
    assert all(g is not None for g in torch.autograd.grad(coarse.sum(), side))


def test_gated_before_they_are_resized():
    torch.manual_seed(2)
    refinement = SpatialRefinement(3, 4, 5).double().eval()
    carried, stage = torch.randn(1, 3, 8, 6).double(), torch.randn(1, 4, 4, 3).double()
    # Halving with half-pixel centres is the mean of 2x2 pixels.
    halved = F.avg_pool2d(refinement.gate(carried), 2)
    joined = torch.cat((halved, refinement.stage_gate(stage)), dim=1)
    torch.testing.assert_close(refinement(carried, stage), (refinement.prediction(joined), refinement.carry(joined)))


def test_one_stage_carries_nothing():
    chain = TraceBack(8, (6,))
    assert chain.refinements[0].carry is None
    assert [f.shape for f in chain(torch.randn(2, 8, 4, 4), [torch.randn(2, 6, 4, 4)])] == [(2, 8, 4, 4)]


def test_no_stage():
    with pytest.raises(SpecError, match="no stage to trace back through"):
        TraceBack(8, ())
