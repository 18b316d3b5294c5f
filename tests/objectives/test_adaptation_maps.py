"""Domain adaptation: what discriminators see and how they are judged."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.objectives.adaptation import domain_loss, relative_inverse_depth, self_information


def t32(a):
    return torch.from_numpy(a).float()


def test_vector_of_self_information():
    got = self_information(t32(RandomState(20).randn(2, 4, 3, 5)), torch.empty(0))
    assert got.sum().item() == pytest.approx(23.810572, rel=1e-6)
    want = [0.1552268, 0.1681117, 0.1082723, 0.1955690]
    assert got[0, :, 1, 2].tolist() == pytest.approx(want, rel=1e-6)
    # the printed form: natural logarithm, no divisor
    assert (got * math.log(4)).sum().item() == pytest.approx(33.008461, rel=1e-6)


def test_vector_of_relative_depth():
    prediction, z = t32(100 * RandomState(22).randn(2, 1, 3, 5)), t32(600 * RandomState(23).rand(2, 1, 3, 5) + 1)
    got = relative_inverse_depth(prediction, (65536 / z.double() - 1) / 100)
    assert got.sum().item() == pytest.approx(2.182413, rel=1e-5)
    assert got.min().item() == pytest.approx(-0.002245, abs=1e-6)
    assert got.max().item() == pytest.approx(0.314760, rel=1e-5)


def test_vector_of_the_domain_loss():
    logits = t32(RandomState(21).randn(2, 1, 4, 8))
    assert domain_loss(logits, 0.0).item() == pytest.approx(0.8172767, rel=1e-6)
    assert domain_loss(logits, 1.0).item() == pytest.approx(0.7667317, rel=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0, 200))
@settings(deadline=None, max_examples=30)
def test_self_information_is_a_share_of_the_largest_entropy(seed, classes, spread):
    generator = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(2, classes, 3, 4, generator=generator)).requires_grad_()
    maps = self_information(logits, torch.empty(0))
    assert maps.min() >= 0
    assert maps.sum(1).max() <= 1 + 1e-5
    maps.sum().backward()
    assert torch.isfinite(logits.grad).all()
    even = self_information(torch.zeros(1, classes, 1, 1), torch.empty(0)).sum()
    assert even.item() == pytest.approx(1.0 if classes > 1 else 0.0)


def test_source_depth_lies_between_0_and_1_and_holes_do_not_count():
    depth = torch.tensor([655.35, 80.0, 5.0, 0.0]).view(1, 1, 2, 2)
    z = 65536 / (100 * depth + 1)
    got = relative_inverse_depth(z, depth).flatten()
    assert got[[0, 2]].tolist() == pytest.approx([0.0, 1.0])
    assert 0 < got[1] < 1 < got[3]
    # not clamped, but for what is below 0
    low, high = z.flatten()[0].item(), z.flatten()[2].item()
    beyond = relative_inverse_depth(torch.tensor([-50.0, 2 * high]).view(1, 1, 1, 2), depth).flatten()
    assert beyond.tolist() == pytest.approx([-low / (high - low), (2 * high - low) / (high - low)])


@pytest.mark.parametrize("metres", [0.0, 7.0])
def test_labels_without_a_range_give_a_blank_map(metres):
    prediction = torch.randn(2, 1, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps = relative_inverse_depth(prediction, torch.full((2, 1, 3, 4), metres))
    maps.sum().backward()
    assert not maps.any()
    assert not prediction.grad.any()
