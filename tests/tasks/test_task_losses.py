"""Losses against the conformance vectors, and what every loss promises."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch.nn import functional as F

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.tasks import TASKS, make_tasks

INFO = DatasetInfo("toy", tuple(TASKS), class_names=tuple("abcde"))
TOY = make_tasks(TASKS, INFO)
MAPS = ("occlusion", "reshading", "keypoints", "texture")
CLASSES = {"semseg": 5, "parts": 7}
BERHU = (("depth", "inverse_berhu"), ("depth", "inverse_berhu_64"))
COUPLED = (("saliency", "balanced_cross_entropy"), ("saliency", "two_classes"), *BERHU)
"""Losses of a pixel that depend on what the other samples of the batch hold."""
INVALID = {
    **{"semseg": 255, "parts": 255, "saliency": 255, "edges": 255, "depth": 0, "normals": 0},
    **dict.fromkeys(MAPS, math.nan),
}
every_task = pytest.mark.parametrize("name", list(TASKS))
EVERY = [(name, kind) for name in TASKS for kind in TASKS[name].LOSSES]
every_loss = pytest.mark.parametrize(("name", "kind"), EVERY)


def f32(*arrays):
    return [torch.from_numpy(np.asarray(a, dtype="float32")) for a in arrays]


def draw(name, seed=0, shape=(2, 6, 5), kind=None):
    """Random raw predictions, in the form that a loss takes, and a batch target with some invalid pixels."""
    g = torch.Generator().manual_seed(seed)
    b, h, w = shape
    task = TOY[name].using(kind or TOY[name].loss_name)
    prediction = torch.randn(b, task.channels, h, w, generator=g)
    hole = torch.rand(b, 1, h, w, generator=g) < 0.3
    target = {
        **dict.fromkeys(CLASSES, lambda: torch.randint(0, 5, (b, h, w), generator=g).masked_fill(hole[:, 0], 255)),
        "saliency": lambda: (torch.rand(b, 1, h, w, generator=g) < 0.4).float().masked_fill(hole, 255),
        "depth": lambda: (torch.rand(b, 1, h, w, generator=g) + 0.5).masked_fill(hole, 0),
        "normals": lambda: F.normalize(torch.randn(b, 3, h, w, generator=g)).masked_fill(hole, 0),
        "edges": lambda: (torch.rand(b, 1, h, w, generator=g) < 0.2).float().masked_fill(hole, 255),
    }.get(name, lambda: torch.randn(b, 1, h, w, generator=g).masked_fill(hole, math.nan))()
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
    softer = TOY["edges"].using("weighted_cross_entropy_80")
    assert float(softer.loss(*f32(logits, label))) == pytest.approx(0.28667799, rel=1e-6)


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


def small_maps(name):
    """Decoded prediction (logits of segmentation) and label of JTR's vectors C, float64, one sample of 4x6."""
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)  # noqa: E731
    depth, normals = 4 * RandomState(5).rand(1, 1, 4, 6), unit(RandomState(7).standard_normal((1, 3, 4, 6)))
    prediction, target = {
        "semseg": (2 * RandomState(2).standard_normal((1, 13, 4, 6)), RandomState(3).randint(-1, 13, (1, 4, 6))),
        "depth": (4 * RandomState(4).rand(1, 1, 4, 6), np.where(depth < 0.8, 0, depth)),
        "normals": (
            unit(RandomState(6).standard_normal((1, 3, 4, 6))),
            np.where(RandomState(8).rand(1, 1, 4, 6) < 0.2, 0, normals),
        ),
    }[name]
    target = np.where(target < 0, 255, target) if name == "semseg" else target
    return torch.from_numpy(prediction), torch.from_numpy(target)


@pytest.mark.parametrize(
    ("name", "kind", "want", "pixels"),
    [
        ("semseg", "cross_entropy", 4.20767159, 22),
        ("depth", "l1", 1.68187963, 21),
        ("normals", "cosine", 0.92608202, 21),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vectors_of_jtr(name, kind, want, pixels, dtype):
    prediction, target = small_maps(name)
    prediction, target = prediction.to(dtype), target if name == "semseg" else target.to(dtype)
    classes = tuple(str(c) for c in range(13))
    task = make_tasks([name], DatasetInfo("toy", (name,), class_names=classes))[name].using(kind)
    values, valid = task.errors(prediction, target)
    assert valid.sum() == pixels
    assert values.shape == valid.shape == (1, 1, 4, 6)
    tolerance = 5e-9 if dtype == torch.float64 else 1e-6
    assert task.loss(prediction, target).item() == pytest.approx(want, abs=tolerance)
    assert task.sample_losses(prediction, target).tolist() == pytest.approx([want], abs=tolerance)
    # the rest of the batch changes nothing
    both = task.sample_losses(
        prediction.repeat(2, 1, 1, 1), torch.cat([torch.full_like(target, INVALID[name]), target])
    )
    assert both.tolist() == pytest.approx([0, want], abs=tolerance)


def test_the_first_loss_is_used_unless_another_is_asked_for():
    assert {name: list(task.LOSSES) for name, task in TOY.items()} == {
        "semseg": ["cross_entropy"],
        "parts": ["cross_entropy"],
        "saliency": ["balanced_cross_entropy", "two_classes"],
        "depth": ["l1", "l1_near", "inverse_berhu", "inverse_berhu_64", "disparity"],
        "normals": ["l1", "cosine", "l1_sum", "squared"],
        "edges": ["weighted_cross_entropy", "weighted_cross_entropy_80", "two_classes"],
        **{name: ["l1"] for name in MAPS},
    }
    prediction, target, _ = draw("normals")
    default, cosine = TOY["normals"], TOY["normals"].using("cosine")
    assert torch.equal(default.using("l1").loss(prediction, target), default.loss(prediction, target))
    assert torch.equal(cosine.using("l1").loss(prediction, target), default.loss(prediction, target))
    assert cosine.loss(prediction, target) != default.loss(prediction, target)
    assert default.loss_name == "l1"
    assert cosine.errors(prediction, target)[0].shape == (2, 1, 6, 5)
    assert default.errors(prediction, target)[0].shape == (2, 3, 6, 5)
    with pytest.raises(SpecError, match=r"objective\.losses\.normals: unknown loss 'cosin'\. Did you mean 'cosine'"):
        default.using("cosin")


@pytest.mark.parametrize(("name", "kind"), [pair for pair in EVERY if pair not in COUPLED])
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    blank=st.sets(st.integers(0, 3)),
)
def test_sample_losses_are_those_of_each_sample_alone(name, kind, seed, shape, blank):
    task = TOY[name].using(kind)
    prediction, target, _ = draw(name, seed, shape, kind)
    for i in blank & set(range(shape[0])):
        target[i] = INVALID[name]
    prediction.requires_grad_()
    together = task.sample_losses(prediction, target)
    assert together.shape == shape[:1]
    (gradient,) = torch.autograd.grad(together.sum(), prediction)
    alone = [task.loss(prediction[i : i + 1], target[i : i + 1]) for i in range(shape[0])]
    (want,) = torch.autograd.grad(sum(alone), prediction)
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, want, rtol=1e-6, atol=1e-7)
    values, counted = task.errors(prediction, target)
    counts = counted.sum((1, 2, 3))
    assert torch.equal(task.valid(target).expand_as(values), counted > 0)
    pooled = (together * counts).sum() / counts.sum() if counts.any() else torch.zeros(())
    torch.testing.assert_close(pooled, task.loss(prediction, target))
    for i in blank & set(range(shape[0])):
        assert together[i].item() == 0.0
        assert not gradient[i].any()


@every_loss
def test_nothing_valid_gives_zero_loss_and_zero_gradient(name, kind):  # vector L5, for every loss
    prediction, target, _ = draw(name, kind=kind)
    target = torch.full_like(target, INVALID[name])
    prediction.requires_grad_()
    loss = TOY[name].using(kind).loss(prediction, target)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


@every_loss
def test_an_empty_batch_gives_zero(name, kind):
    prediction, target, _ = draw(name, kind=kind)
    prediction.requires_grad_()
    task = TOY[name].using(kind)
    loss = task.loss(prediction[:0], target[:0])
    loss.backward()
    assert loss.item() == 0.0
    assert not prediction.grad.any()
    assert task.sample_losses(prediction[:0], target[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["depth", *MAPS])
def test_an_invalid_nan_reaches_neither_value_nor_gradient(name):
    prediction, target, hole = draw(name)
    poisoned = target.masked_fill(hole, math.nan)
    tame = torch.where(hole, prediction, target)
    for loss in (TOY[name].loss, lambda p, t: TOY[name].sample_losses(p, t).square().sum()):
        prediction.requires_grad_().grad = None
        value = loss(prediction, poisoned)
        value.backward()
        assert torch.isfinite(prediction.grad).all()
        assert not prediction.grad[hole].any()
        error = (prediction.detach() - tame).abs() * ~hole
        sums, counts = error.sum((1, 2, 3)), (~hole).sum((1, 2, 3))
        want = sums.sum() / counts.sum() if loss == TOY[name].loss else (sums / counts).square().sum()
        assert value.item() == pytest.approx(want.item(), rel=1e-6)
    assert torch.isfinite(TOY[name].errors(prediction, poisoned)[0]).all()


@every_loss
def test_invalid_pixels_get_no_gradient_and_the_rest_get_some(name, kind):
    prediction, target, hole = draw(name, kind=kind)
    prediction.requires_grad_()
    TOY[name].using(kind).loss(prediction, target).backward()
    hole = hole.expand_as(prediction)
    assert not prediction.grad[hole].any()
    assert (prediction.grad[~hole] != 0).all()


def entropy(x, y, w):
    """Binary cross-entropy of logits (N, 1), positives weighted w and negatives 1 - w."""
    p = 1 / (1 + (-x).exp())
    return -(w * y * p.log() + (1 - w) * (1 - y) * (1 - p).log())


def berhu(x, y, count):
    a = (x - 65536 / (100 * y + 1)).abs()
    c = 0.2 * a.max()
    return a.where(a <= c, (a**2 + c**2) / (2 * c)).sum() / count


def two_logits(x, y):
    w = 0.05 + 0.9 * y.double()
    return -(w * x.log_softmax(1).gather(1, y.long())).sum() / w.sum()


ORACLES = {  # of the valid pixels' predictions (N, C) and labels, in float64, and the number of all pixels
    ("depth", "l1_near"): lambda x, y, n: (x - y).abs().mean(),
    ("depth", "inverse_berhu"): berhu,
    ("depth", "inverse_berhu_64"): lambda x, y, n: berhu(64 * x, y, n),
    ("depth", "disparity"): lambda x, y, n: (1 / (0.01 + 9.99 * x) - y).abs().mean(),
    ("normals", "l1"): lambda x, y, n: (x / x.square().sum(1, keepdim=True).sqrt() - y).abs().mean(),
    ("normals", "l1_sum"): lambda x, y, n: (x / x.square().sum(1, keepdim=True).sqrt() - y).abs().sum(1).mean(),
    ("normals", "squared"): lambda x, y, n: (x - y).square().mean(),
    ("normals", "cosine"): lambda x, y, n: 1 - ((x * y).sum(1) / x.square().sum(1).sqrt()).mean(),
    ("saliency", "balanced_cross_entropy"): lambda x, y, n: entropy(x, y, 1 - y.double().mean()).mean(),
    ("saliency", "two_classes"): lambda x, y, n: entropy(x[:, 1:] - x[:, :1], y, 1 - y.double().mean()).mean(),
    ("edges", "weighted_cross_entropy"): lambda x, y, n: entropy(x, y, 0.95).mean(),
    ("edges", "weighted_cross_entropy_80"): lambda x, y, n: entropy(x, y, 0.80).mean(),
    ("edges", "two_classes"): lambda x, y, n: two_logits(x, y),
    **{
        (t, "cross_entropy"): lambda x, y, n: (x.exp().sum(1).log() - x.gather(1, y[:, None])[:, 0]).mean()
        for t in CLASSES
    },
    **{(t, "l1"): lambda x, y, n: (x - y).abs().mean() for t in ("depth", *MAPS)},
}


@every_loss
def test_loss_is_the_mean_over_what_counts_in_float64(name, kind):
    prediction, target, hole = draw(name, seed=1, kind=kind)
    if kind == "disparity":
        prediction = prediction.sigmoid()
    valid = ~hole[:, 0]
    x, y = prediction.double().movedim(1, -1)[valid], target.movedim(1, -1) if target.ndim == 4 else target
    want = ORACLES[name, kind](x, y[valid], hole.numel())
    assert float(TOY[name].using(kind).loss(prediction, target)) == pytest.approx(float(want), rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in EVERY if pair not in BERHU])
def test_gradcheck(name, kind):
    prediction, target, _ = draw(name, shape=(2, 3, 2), kind=kind)
    target, task = target if name in CLASSES else target.double(), TOY[name].using(kind)
    prediction = (prediction.sigmoid() if kind == "disparity" else prediction).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: task.loss(p, target), prediction)
    assert torch.autograd.gradcheck(lambda p: task.sample_losses(p, target), prediction)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_outputs_are_judged_in_float32(name, kind, dtype):
    prediction, target, _ = draw(name, kind=kind)
    half, task = prediction.to(dtype), TOY[name].using(kind)
    loss = task.loss(half, target)
    assert loss.dtype == task.sample_losses(half, target).dtype == torch.float32
    assert loss.item() == task.loss(half.float(), target).item()


PERFECT = {  # raw predictions of a label
    "cross_entropy": lambda target, classes: 50.0 * F.one_hot(target.clamp(max=4), classes).movedim(-1, 1),
    "balanced_cross_entropy": lambda target, _: 100 * (target - 0.5),
    "weighted_cross_entropy": lambda target, _: 100 * (target - 0.5),
    "weighted_cross_entropy_80": lambda target, _: 100 * (target - 0.5),
    "two_classes": lambda target, _: torch.cat([50 * (0.5 - target), 50 * (target - 0.5)], 1),
    "cosine": lambda target, _: 3 * target,
    "l1": lambda target, _: target.nan_to_num(5.0),
    "l1_near": lambda target, _: target,
    "l1_sum": lambda target, _: 3 * target,
    "squared": lambda target, _: target,
    "inverse_berhu": lambda target, _: 65536 / (100 * target + 1),
    "inverse_berhu_64": lambda target, _: 1024 / (100 * target + 1),
    "disparity": lambda target, _: (1 / target.clamp_min(0.1) - 0.01) / 9.99,
}


@every_loss
def test_a_perfect_output_has_the_least_loss(name, kind):
    prediction, target, _ = draw(name, kind=kind)
    task = TOY[name].using(kind)
    perfect = PERFECT[kind](target, task.channels).float()
    assert task.loss(perfect, target).item() == pytest.approx(0, abs=1e-6)
    assert task.loss(prediction, target).item() > 0.01


@every_task
def test_shape_mismatch_is_named(name):
    prediction, target, _ = draw(name)
    for judge in (TOY[name].loss, TOY[name].sample_losses, TOY[name].errors):
        with pytest.raises(SpecError, match=f"{name}: prediction is"):
            judge(prediction[..., :-1], target)
        with pytest.raises(SpecError, match=name):
            judge(prediction.repeat(1, 2, 1, 1), target)


def test_saturated_edge_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2)
    loss = TOY["edges"].loss(logits, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    assert loss.item() == pytest.approx((0.05 + 0.95) * 1e4 / 2)
    assert math.isfinite(loss.item())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_loss
@pytest.mark.parametrize("batched", [True, False])
def test_cuda_is_deterministic_and_agrees_with_cpu(name, kind, batched):
    prediction, target, _ = draw(name, shape=(2, 64, 48), kind=kind)
    task, losses, grads = TOY[name].using(kind), [], []
    judge = task.loss if batched else lambda p, t: task.sample_losses(p, t).sum()
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            x = prediction.cuda().requires_grad_()
            losses.append(judge(x, target.cuda()))
            losses[-1].backward()
            grads.append(x.grad)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(grads[0], grads[1])
    assert losses[0].item() == pytest.approx(judge(prediction, target).item(), rel=1e-5)
