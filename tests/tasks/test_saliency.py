"""Saliency: the balanced loss against published vectors, and how it balances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from invpt_maps import invpt_maps
from numpy.random import RandomState
from torch.nn import functional as F

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.tasks import make_tasks

TASK = make_tasks(["saliency"], DatasetInfo("toy", ("saliency",)))["saliency"]
TWO = TASK.using("two_classes")


def f32(*arrays):
    return [torch.from_numpy(np.asarray(a, dtype="float32")) for a in arrays]


def test_vector_of_mti_net():  # L2, automatic weight
    rs = RandomState(2)
    logits = 2 * rs.randn(2, 1, 8, 8)
    label = rs.rand(2, 1, 8, 8) > 0.9
    assert label.sum() == 11
    assert float(TASK.loss(*f32(logits, label))) == pytest.approx(0.18986222, rel=1e-6)


def test_vector_of_mt_cp():
    rs = RandomState(23)
    logits = 2 * rs.standard_normal((2, 1, 6, 7))
    label = rs.uniform(size=(2, 1, 6, 7)) < 0.3
    assert label.sum() == 30
    assert float(TASK.loss(*f32(logits, label))) == pytest.approx(0.403669, abs=5e-7)


def test_vectors_of_invpt_whose_two_channels_count_by_their_difference():
    logits, label = invpt_maps()["saliency"]
    one = logits[:, 1:] - logits[:, :1]
    assert TASK.loss(one, label) == TWO.loss(logits, label)
    assert torch.equal(TASK.sample_losses(one, label), TWO.sample_losses(logits, label))
    probability = TWO.decode(logits)
    assert torch.equal(probability, TASK.decode(one))
    torch.testing.assert_close(probability, logits.softmax(1)[:, 1:])
    figures = {}
    for metric in TWO.metrics():
        metric.update(probability, label)
        figures[metric.protocol] = metric.compute()
    assert figures["saliency/f03-sigmoid@1"]["maxf"] == pytest.approx(0.4555694, abs=5e-7)
    assert figures["saliency/f03@1"]["maxf"] == pytest.approx(0.4531052, abs=5e-7)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_two_logits_are_a_balanced_softmax_cross_entropy(seed):
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 2, 4, 5, generator=g, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 1, 4, 5), generator=g)
    label, valid, mine = torch.where(target == 2, 255, target), target != 2, logits.clone().requires_grad_()
    theirs, w = logits.clone().requires_grad_(), (target == 0).sum().double() / valid.sum()
    each = F.cross_entropy(theirs, label[:, 0], torch.stack([1 - w, w]), ignore_index=255, reduction="none")
    want, loss = each.sum() / valid.sum(), TWO.loss(mine, label.double())
    loss.backward()
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-6, atol=1e-9)  # the shares are float32 here
    torch.testing.assert_close(TWO.decode(logits), logits.softmax(1)[:, 1:])


def test_channels_go_with_the_loss():
    assert (TASK.channels, TWO.channels, TWO.usual_channels) == (1, 2, 1)
    assert TWO.decode(torch.zeros(1, 2, 3, 4).bfloat16()).dtype == torch.float32
    with pytest.raises(SpecError, match=r"saliency: prediction is \(1, 1, 3, 4\), the label asks for \(1, 2, 3, 4\)"):
        TWO.loss(torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4))


def test_figures_of_every_protocol_and_mti_nets_first():
    assert [m.protocol for m in TASK.metrics()][:2] == ["saliency/jaccard@1", "saliency/f1-image@1"]
    assert {m.protocol for m in TASK.metrics()} == set(PROTOCOLS["saliency"])


def test_the_two_classes_pull_alike_whatever_their_shares():
    """At a constant prediction of one half the gradients of foreground and background cancel out."""
    target = (torch.rand(3, 1, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    logits = torch.zeros_like(target, requires_grad=True)
    TASK.loss(logits, target).backward()
    assert 0 < target.mean() < 0.3
    assert logits.grad[target == 1].sum().item() == pytest.approx(-logits.grad[target == 0].sum().item(), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_batch_of_one_class_has_no_loss(value):
    logits = torch.randn(2, 1, 4, 5, requires_grad=True)
    loss = TASK.loss(logits, torch.full((2, 1, 4, 5), value))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_ignored_pixels_take_no_part_in_the_balance():
    g = torch.Generator().manual_seed(1)
    logits, target = torch.randn(2, 1, 6, 8, generator=g), (torch.rand(2, 1, 6, 8, generator=g) < 0.4).float()
    wide = torch.cat([target, torch.full((2, 1, 6, 3), 255.0)], -1)
    padded = torch.cat([logits, torch.randn(2, 1, 6, 3, generator=g)], -1)
    torch.testing.assert_close(TASK.loss(padded, wide), TASK.loss(logits, target))


def test_losses_of_samples_are_balanced_over_the_batch():
    g = torch.Generator().manual_seed(2)
    logits, target = torch.randn(3, 1, 5, 6, generator=g), (torch.rand(3, 1, 5, 6, generator=g) < 0.4).float()
    target[1] = 0
    target[0, :, :2] = 255
    valid = target != 255
    w = 1 - target[valid].double().mean()
    weight = torch.where(target == 1, w, 1 - w) * valid
    values = F.binary_cross_entropy_with_logits(logits.double(), (target == 1).double(), weight, reduction="none")
    want = values.sum((1, 2, 3)) / valid.sum((1, 2, 3))
    torch.testing.assert_close(TASK.sample_losses(logits, target).double(), want, rtol=1e-6, atol=0)
    assert want[1] > 0  # alone it would have none
    counts = valid.sum((1, 2, 3))
    together = (TASK.sample_losses(logits, target) * counts).sum() / counts.sum()
    torch.testing.assert_close(together, TASK.loss(logits, target))


def test_saturated_logits_stay_finite():
    loss = TASK.loss(torch.tensor([1e4, -1e4]).view(1, 1, 1, 2), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    assert loss.item() == pytest.approx(0.5 * 1e4)


def test_the_constant_reaches_both_everything_and_nothing():
    half = TASK.trivial([torch.zeros(2, 2, dtype=torch.uint8)])
    assert half.item() == 0.5
    metric = TASK.metrics()[0]
    for share in (0.3, 0.0):  # of the foreground: all, then nothing is the better guess
        target = torch.zeros(1, 1, 10, 10)
        target[..., : round(10 * share)] = 1
        metric = TASK.metrics()[0]
        metric.update(half.expand_as(target), target)
        assert metric.compute()["miou"] == pytest.approx(share or 1.0)
