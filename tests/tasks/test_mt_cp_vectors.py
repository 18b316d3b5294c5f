"""Losses of MT-CP's public implementation, what the paper has in their place, and labels that are too far."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.metrics.depth import CAP, CappedDepth
from mtlrepro.tasks import make_tasks

INFO = DatasetInfo("toy", ("semseg", "depth", "normals"), class_names=tuple("abcde"))
TASKS = make_tasks(INFO.tasks, INFO)
NEAR = TASKS["depth"].using("l1_near")


def f32(array):
    return torch.from_numpy(np.asarray(array, dtype="float32"))


def test_cross_entropy():
    rs = RandomState(20)
    logits, label = rs.standard_normal((2, 5, 6, 7)), rs.randint(0, 5, (2, 1, 6, 7))
    label[rs.uniform(size=label.shape) < 0.2] = 255
    assert (label != 255).sum() == 60
    loss = TASKS["semseg"].loss(f32(logits), torch.from_numpy(label[:, 0]))
    assert loss.item() == pytest.approx(1.935963, abs=5e-7)


@pytest.mark.parametrize(("kind", "pixels", "want"), [("l1_near", 56, 2.425412), ("l1", 65, 2.616314)])
def test_depth_with_and_without_the_cut(kind, pixels, want):
    rs = RandomState(21)
    prediction, label = rs.uniform(0, 8, (2, 1, 6, 7)), rs.uniform(0.5, 8, (2, 1, 6, 7))
    label[rs.uniform(size=label.shape) < 0.2] = 0
    task = TASKS["depth"].using(kind)
    assert task.errors(f32(prediction), f32(label))[1].sum() == pixels
    assert task.loss(f32(prediction), f32(label)).item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(("kind", "want"), [("squared", 1.529271), ("l1", 0.684098)])
def test_normals_of_the_public_code_and_of_the_paper(kind, want):
    rs = RandomState(22)
    prediction, label = rs.standard_normal((2, 3, 6, 7)), rs.standard_normal((2, 3, 6, 7))
    label /= np.linalg.norm(label, axis=1, keepdims=True)
    label = np.where(rs.uniform(size=(2, 1, 6, 7)) < 0.2, 0, label)
    task = TASKS["normals"].using(kind)
    assert task.errors(f32(prediction), f32(label))[1].sum() == 198
    assert task.loss(f32(prediction), f32(label)).item() == pytest.approx(want, abs=1e-6)


def test_squared_errors_are_of_vectors_of_any_length_which_are_decoded_to_unit_length():
    squared = TASKS["normals"].using("squared")
    label = torch.tensor([0.0, 0.6, -0.8]).view(1, 3, 1, 1)
    assert squared.loss(3 * label, label).item() == pytest.approx(4 / 3)
    assert TASKS["normals"].loss(3 * label, label).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(squared.decode(3 * label), label)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
def test_far_labels_count_no_more_than_invalid_ones(seed, dtype):
    """The loss is that of labels without what is far, and abs_err of the metric that MT-CP evaluates."""
    g = torch.Generator().manual_seed(seed)
    prediction, target = 12 * torch.rand(2, 2, 1, 4, 5, generator=g, dtype=dtype)
    target = torch.where(torch.rand(target.shape, generator=g) < 0.2, torch.tensor(CAP, dtype=dtype), target)
    known = torch.where(target < CAP, target, 0.0)
    prediction.requires_grad_()
    for judge in (NEAR.loss, lambda p, t: NEAR.sample_losses(p, t).sum()):
        usual = TASKS["depth"].loss if judge == NEAR.loss else lambda p, t: TASKS["depth"].sample_losses(p, t).sum()
        found, want = judge(prediction, target), usual(prediction, known)
        assert torch.equal(found, want)
        assert torch.equal(*(torch.autograd.grad(loss, prediction)[0] for loss in (found, want)))
    metric = CappedDepth()
    metric.update(prediction.detach().double(), target)
    if (known > 0).any():
        assert NEAR.loss(prediction, target).item() == pytest.approx(metric.compute()["abs_err"], rel=1e-5)


def test_nothing_near_gives_zero_loss_and_zero_gradient():
    target = torch.tensor([0.0, CAP, 9.0, float("nan")]).view(1, 1, 2, 2)
    prediction = torch.randn(1, 1, 2, 2, requires_grad=True)
    loss = NEAR.loss(prediction, target)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros(1, 1, 2, 2))
    assert not NEAR.sample_losses(prediction, target).any()
