"""Averages of raw predictions: what they stand for, in every form that a loss gives a task's output."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.depth import FARTHEST, NEAREST

INFO = DatasetInfo("toy", tuple(TASKS), class_names=tuple("abcde"))
TOY = make_tasks(TASKS, INFO)
CLASSES = ("semseg", "parts")
EVERY = [(name, kind) for name in TASKS for kind in TASKS[name].LOSSES]
CONTINUOUS = [(name, kind) for name, kind in EVERY if name not in (*CLASSES, "normals")]
every_loss = pytest.mark.parametrize(("name", "kind"), EVERY)
seeds, counts = st.integers(0, 10**6), st.integers(1, 4)

RAW = {
    "disparity": torch.sigmoid,
    "inverse_berhu": lambda x: (4 * x).exp() * x.sign(),  # from beyond the sky to the lens, some below 0
    "inverse_berhu_64": lambda x: (4 * x).exp() * x.sign() / 64,
}
"""Noise to raw predictions, of the losses that do not take any."""


def drawn(name, kind, seed, count):
    """A task, and float64 raw predictions in its form."""
    task = TOY[name].using(kind)
    noise = 2 * torch.randn(count, 2, task.channels, 3, 4, generator=torch.Generator().manual_seed(seed)).double()
    return task, list(RAW.get(kind, lambda x: x)(noise))


def meaning(task, raw):
    """What is averaged, straight from the definition."""
    if task.name in CLASSES:
        return raw.exp() / raw.exp().sum(1, keepdim=True)
    return task.decode(raw)


@every_loss
@settings(max_examples=15)
@given(seeds, counts)
def test_one_prediction_and_equal_ones_keep_their_meaning(name, kind, seed, count):
    task, (raw,) = drawn(name, kind, seed, 1)
    mean = task.average([raw] * count)
    assert mean.shape == raw.shape
    torch.testing.assert_close(task.decode(mean), task.decode(raw))
    torch.testing.assert_close(meaning(task, mean), meaning(task, raw))


@every_loss
@settings(max_examples=15)
@given(seeds, counts, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(name, kind, seed, count, random):
    task, raws = drawn(name, kind, seed, count)
    shuffled = random.sample(raws, count)
    torch.testing.assert_close(task.average(shuffled), task.average(raws))


@every_loss
@settings(max_examples=15)
@given(seeds, counts)
def test_an_average_lies_between(name, kind, seed, count):
    task, raws = drawn(name, kind, seed, count)
    mean = task.average(raws)
    got = mean if name == "normals" else meaning(task, mean)
    all_of_them = torch.stack([meaning(task, raw) for raw in raws])
    slack = 1e-9 * all_of_them.abs().amax()
    assert (got >= all_of_them.amin(0) - slack).all()
    assert (got <= all_of_them.amax(0) + slack).all()


@pytest.mark.parametrize(("name", "kind"), CONTINUOUS)
@settings(max_examples=15)
@given(seeds, counts)
def test_what_is_decoded_is_the_mean_of_what_is_decoded(name, kind, seed, count):
    task, raws = drawn(name, kind, seed, count)
    want = sum(task.decode(raw) for raw in raws) / count
    torch.testing.assert_close(task.decode(task.average(raws)), want)


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=15)
@given(seeds, counts)
def test_the_class_is_that_of_the_largest_mean_probability(name, seed, count):
    task, raws = drawn(name, "cross_entropy", seed, count)
    want = sum(raw.softmax(1) for raw in raws) / count
    mean = task.average(raws)
    torch.testing.assert_close(mean.softmax(1), want)
    assert torch.equal(task.decode(mean), want.argmax(1))


@pytest.mark.parametrize("kind", TASKS["normals"].LOSSES)
@settings(max_examples=15)
@given(seeds, counts)
def test_normals_are_mean_directions_whatever_the_lengths(kind, seed, count):
    task, raws = drawn("normals", kind, seed, count)
    vectors = [raw / raw.norm(dim=1, keepdim=True) for raw in raws]
    mean = task.average([raw * (10.0**i) for i, raw in enumerate(raws)])
    torch.testing.assert_close(mean, sum(vectors) / count)
    torch.testing.assert_close(task.decode(mean), torch.nn.functional.normalize(sum(vectors), dim=1))


def test_a_sure_prediction_counts_for_more_than_its_logits_mean():
    logits = torch.tensor([[9.0, 0, 0, 0, 0], [0, 30, 0, 0, 0]]).view(2, 1, 5, 1, 1)
    semseg = TOY["semseg"].average(list(logits))
    assert semseg.softmax(1)[0, :2, 0, 0].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    edges = TOY["edges"].average([torch.full((1, 1, 1, 1), x) for x in (-1.0, 30.0)])
    assert TOY["edges"].decode(edges).item() == pytest.approx((0.2689414 + 1) / 2)


@pytest.mark.parametrize("name", ["saliency", "edges"])
def test_saturated_logits_stay_finite(name):
    one, two = TOY[name], TOY[name].using("two_classes")
    for logits, low, high in (((200.0, 100.0), 100, 101), ((-1e4, 1e4), -1e-6, 1e-6), ((-300.0, -200.0), -201, -200)):
        singles = [torch.full((1, 1, 1, 1), x) for x in logits]
        pairs = [torch.cat([-x / 2, x / 2], 1) for x in singles]
        for mean in (one.average(singles), (p := two.average(pairs))[:, 1:] - p[:, :1]):
            assert low <= mean.item() <= high


def test_two_classes_are_the_mean_of_softmaxes():
    for name in ("saliency", "edges"):
        task, raws = drawn(name, "two_classes", 0, 3)
        want = sum(raw.softmax(1) for raw in raws) / 3
        torch.testing.assert_close(task.average(raws).softmax(1), want)


def test_inverse_depth_is_averaged_in_metres():
    task = TOY["depth"].using("inverse_berhu")
    raws = [torch.full((1, 1, 1, 1), 65536 / (100 * metres + 1)) for metres in (2.0, 10.0)]
    assert task.decode(task.average(raws)).item() == pytest.approx(6.0)
    ends = task.average([torch.full((1, 1, 1, 1), x) for x in (-5.0, 1e-3)])  # no depth at all, and beyond the sky
    assert task.decode(ends).item() == pytest.approx((NEAREST + FARTHEST) / 2)
    inverse = make_tasks(["depth"], DatasetInfo("street", ("depth",), inverse_depth=True))["depth"]
    assert inverse.average([torch.full((1, 1, 1, 1), x) for x in (0.2, 0.4)]).item() == pytest.approx(0.3)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_averaged_in_float32(name, kind, dtype):
    task, raws = drawn(name, kind, 0, 2)
    halves = [raw.to(dtype) for raw in raws]
    mean = task.average(halves)
    assert mean.dtype == torch.float32
    assert torch.equal(mean, task.average([half.float() for half in halves]))
    assert not math.isnan(mean.sum())
