"""Losses against the conformance vectors, and what every loss promises."""

import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.tasks import TASKS, make_tasks

INFO = DatasetInfo("toy", tuple(TASKS), class_names=tuple("abcde"))
TOY = make_tasks(TASKS, INFO)
every_task = pytest.mark.parametrize("name", list(TASKS))


def f32(*arrays):
    return [torch.from_numpy(np.asarray(a, dtype="float32")) for a in arrays]


def draw(name, seed=0, shape=(2, 6, 5)):
    """Random raw predictions and a batch target with some invalid pixels."""
    g = torch.Generator().manual_seed(seed)
    b, h, w = shape
    prediction = torch.randn(b, TOY[name].channels, h, w, generator=g)
    hole = torch.rand(b, 1, h, w, generator=g) < 0.3
    target = {
        "semseg": lambda: torch.randint(0, 5, (b, h, w), generator=g).masked_fill(hole[:, 0], 255),
        "depth": lambda: (torch.rand(b, 1, h, w, generator=g) + 0.5).masked_fill(hole, 0),
        "normals": lambda: torch.nn.functional.normalize(torch.randn(b, 3, h, w, generator=g)).masked_fill(hole, 0),
        "edges": lambda: (torch.rand(b, 1, h, w, generator=g) < 0.2).float().masked_fill(hole, 255),
    }[name]()
    return prediction, target, hole


def test_vector_l1_cross_entropy():
    rs = RandomState(1)
    logits, label = rs.randn(2, 5, 6, 7), rs.randint(0, 5, (2, 1, 6, 7))
    label[0, 0, :2, :] = 255
    assert (label != 255).sum() == 70
    loss = TOY["semseg"].loss(f32(logits)[0], torch.from_numpy(label[:, 0]))
    assert float(loss) == pytest.approx(2.142596, rel=1e-6)


def test_vector_l2_weighted_bce():
    rs = RandomState(2)
    logits = 2 * rs.randn(2, 1, 8, 8)
    label = rs.rand(2, 1, 8, 8) > 0.9
    assert label.sum() == 11
    assert float(TOY["edges"].loss(*f32(logits, label))) == pytest.approx(0.15935864, rel=1e-6)


def test_vector_l3_depth():
    rs = RandomState(3)
    prediction, label = rs.randn(2, 1, 6, 6) + 3, 10 * rs.rand(2, 1, 6, 6)
    label[rs.rand(2, 1, 6, 6) < 0.2] = 0
    assert (label > 0).sum() == 54
    assert float(TOY["depth"].loss(*f32(prediction, label))) == pytest.approx(3.1239843, rel=1e-6)


def test_vector_l4_normals():
    rs = RandomState(4)
    prediction, label = rs.randn(2, 3, 5, 5), rs.randn(2, 3, 5, 5)
    label /= np.linalg.norm(label, axis=1, keepdims=True)
    label = np.where(rs.rand(2, 1, 5, 5) < 0.25, 0, label)
    assert (label != 0).sum() == 126
    assert float(TOY["normals"].loss(*f32(prediction, label))) == pytest.approx(0.67587733, rel=1e-6)


@every_task
def test_nothing_valid_gives_zero_loss_and_zero_gradient(name):  # vector L5, for every task
    prediction, target, _ = draw(name)
    target = torch.full_like(target, 255 if name in ("semseg", "edges") else 0)
    prediction.requires_grad_()
    loss = TOY[name].loss(prediction, target)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


@every_task
def test_an_empty_batch_gives_zero(name):
    prediction, target, _ = draw(name)
    prediction.requires_grad_()
    loss = TOY[name].loss(prediction[:0], target[:0])
    loss.backward()
    assert loss.item() == 0.0
    assert not prediction.grad.any()


@every_task
def test_invalid_pixels_get_no_gradient_and_the_rest_get_some(name):
    prediction, target, hole = draw(name)
    prediction.requires_grad_()
    TOY[name].loss(prediction, target).backward()
    hole = hole.expand_as(prediction)
    assert not prediction.grad[hole].any()
    assert (prediction.grad[~hole] != 0).all()


@every_task
def test_loss_is_the_mean_over_valid_pixels_in_float64(name):
    prediction, target, hole = draw(name, seed=1)
    valid = ~hole[:, 0]
    x, y = prediction.double().movedim(1, -1)[valid], target.movedim(1, -1) if target.ndim == 4 else target
    y = y[valid]
    if name == "semseg":
        want = (x.exp().sum(1).log() - x.gather(1, y[:, None])[:, 0]).mean()
    elif name == "depth":
        want = (x - y).abs().mean()
    elif name == "normals":
        want = (x / x.square().sum(1, keepdim=True).sqrt() - y).abs().mean()
    else:
        p = 1 / (1 + (-x).exp())
        want = -(0.95 * y * p.log() + 0.05 * (1 - y) * (1 - p).log()).mean()
    assert float(TOY[name].loss(prediction, target)) == pytest.approx(float(want), rel=1e-5)


@every_task
def test_gradcheck(name):
    prediction, target, _ = draw(name, shape=(1, 3, 2))
    target = target if name == "semseg" else target.double()
    assert torch.autograd.gradcheck(lambda p: TOY[name].loss(p, target), prediction.double().requires_grad_())


@every_task
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_outputs_are_judged_in_float32(name, dtype):
    prediction, target, _ = draw(name)
    half = prediction.to(dtype)
    loss = TOY[name].loss(half, target)
    assert loss.dtype == torch.float32
    assert loss.item() == TOY[name].loss(half.float(), target).item()


@every_task
def test_a_perfect_output_has_the_least_loss(name):
    prediction, target, _ = draw(name)
    perfect = {
        "semseg": lambda: 50.0 * torch.nn.functional.one_hot(target.clamp(max=4), 5).movedim(-1, 1).float(),
        "depth": lambda: target,
        "normals": lambda: 3 * target,
        "edges": lambda: 100 * (target - 0.5),
    }[name]()
    assert TOY[name].loss(perfect, target).item() == pytest.approx(0, abs=1e-6)
    assert TOY[name].loss(prediction, target).item() > 0.01


@every_task
def test_shape_mismatch_is_named(name):
    prediction, target, _ = draw(name)
    with pytest.raises(SpecError, match=f"{name}: prediction is"):
        TOY[name].loss(prediction[..., :-1], target)
    with pytest.raises(SpecError, match=name):
        TOY[name].loss(prediction.repeat(1, 2, 1, 1), target)


def test_saturated_edge_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2)
    loss = TOY["edges"].loss(logits, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    assert loss.item() == pytest.approx((0.05 + 0.95) * 1e4 / 2)
    assert math.isfinite(loss.item())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_task
def test_cuda_is_deterministic_and_agrees_with_cpu(name):
    prediction, target, _ = draw(name, shape=(2, 64, 48))
    losses, grads = [], []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            x = prediction.cuda().requires_grad_()
            losses.append(TOY[name].loss(x, target.cuda()))
            losses[-1].backward()
            grads.append(x.grad)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(grads[0], grads[1])
    assert losses[0].item() == pytest.approx(TOY[name].loss(prediction, target).item(), rel=1e-5)
