"""Losses that change what a network's output means: inverse depth, disparity, edges as one of two classes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.surface import inverse_normalised
from mtlrepro.errors import SpecError
from mtlrepro.metrics.edges import MacroF1
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.base import Loss

INFO = DatasetInfo("toy", ("semseg", "depth", "edges"), tuple("abc"))
BERHU, DISPARITY = (make_tasks(["depth"], INFO, [("depth", loss)])["depth"] for loss in ("inverse_berhu", "disparity"))
TWO = make_tasks(["edges"], INFO, [("edges", "two_classes")])["edges"]


def test_vector_of_the_berhu_loss():
    rs = RandomState(0)
    z = 1 + 99 * rs.rand(2, 1, 4, 6)
    prediction = z + 20 * rs.randn(2, 1, 4, 6)
    mask = rs.rand(2, 1, 4, 6) > 0.2
    assert mask.sum() == 41
    metres = torch.from_numpy(np.where(mask, (65536 / z - 1) / 100, 0))
    values, counted = BERHU.errors(torch.from_numpy(prediction), metres)
    assert BERHU.loss(torch.from_numpy(prediction), metres).item() == pytest.approx(25.231539, rel=1e-7)
    assert values.sum().item() / 41 == pytest.approx(29.539366, rel=1e-6)  # what a mean over valid pixels would be
    assert counted.all()
    errors = np.abs(prediction - z)[mask]
    c = 0.2 * errors.max()
    assert c == pytest.approx(7.803101, rel=1e-6)
    straight = errors <= c
    np.testing.assert_allclose(values.numpy()[mask][straight], errors[straight], rtol=1e-9)
    assert (values.numpy()[mask][~straight] > errors[~straight]).all()


def drawn(seed, samples=2):
    rs = RandomState(seed)
    metres = torch.from_numpy(
        np.where(rs.rand(samples, 1, 5, 6) < 0.3, 0, np.exp(rs.uniform(0, 6.4, (samples, 1, 5, 6))))
    )
    return torch.from_numpy(50 * rs.randn(samples, 1, 5, 6)), metres


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_gradient_of_the_berhu_loss(seed):
    """sign(e) up to c, then e / c; c itself, the largest error's fifth, has no gradient, nor has an invalid pixel."""
    raw, metres = drawn(seed)
    valid = metres > 0
    if not valid.any():
        return
    metres = metres.masked_fill(~valid, math.nan) if seed % 2 else metres
    prediction = raw.clone().requires_grad_()
    BERHU.loss(prediction, metres).backward()
    error = torch.where(valid, raw - 65536 / (100 * metres + 1), 0.0)
    c = 0.2 * error.abs().max()
    want = torch.where(error.abs() <= c, error.sign(), error / c) / raw.numel()
    torch.testing.assert_close(prediction.grad, want, rtol=1e-9, atol=1e-15)
    assert not prediction.grad[~valid].any()


@settings(deadline=None, max_examples=25)
@given(st.floats(0.5, 300), st.floats(1, 600))
def test_the_berhu_loss_is_continuous_where_its_cases_meet(largest, z):
    """And its slope is, too: just below and just above c, where c is a fifth of the largest error."""
    metres = torch.full((1, 1, 1, 3), (65536 / z - 1) / 100, dtype=torch.float64)
    c, step = 0.2 * largest, 1e-7 * largest
    truth = float(inverse_normalised(metres)[0, 0, 0, 0])
    raw = torch.tensor([c - step, c + step, largest], dtype=torch.float64).view(1, 1, 1, 3).add(truth).requires_grad_()
    values, _ = BERHU.errors(raw, metres)
    (slopes,) = torch.autograd.grad(values.sum(), raw)
    below, above, _ = values.flatten().tolist()
    assert above == pytest.approx(below, abs=3 * step)
    assert above > below
    assert slopes.flatten()[:2].tolist() == pytest.approx([1, 1], rel=1e-5)


def test_without_an_error_the_berhu_loss_and_its_gradient_are_zero():
    metres = torch.tensor([0.0, 1.0, 80.0, 655.35]).view(1, 1, 2, 2)
    prediction = inverse_normalised(metres).requires_grad_()
    loss = BERHU.loss(prediction, metres)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prediction.grad, torch.zeros(1, 1, 2, 2))
    assert BERHU.loss(prediction.detach() + 1e-4, metres).item() > 0


def test_samples_share_the_threshold_of_the_batch():
    raw, metres = drawn(3, samples=3)
    together = BERHU.sample_losses(raw, metres)
    assert together.mean().item() == pytest.approx(BERHU.loss(raw, metres).item(), rel=1e-12)
    alone = torch.cat([BERHU.sample_losses(raw[i : i + 1], metres[i : i + 1]) for i in range(3)])
    errors = (raw - inverse_normalised(metres)).abs().masked_fill(metres == 0, 0)
    widest = errors.amax((1, 2, 3)).argmax()
    assert together[widest].item() == pytest.approx(alone[widest].item(), rel=1e-12)
    assert (together <= alone + 1e-12).all()  # a larger c makes parabolas flatter
    assert not torch.allclose(together, alone)


@given(st.floats(0.01, 655.35))
def test_inverse_depth_is_decoded_to_metres(metres):
    z = inverse_normalised(torch.tensor([[[[metres]]]], dtype=torch.float64))
    assert BERHU.decode(z).item() == pytest.approx(metres, rel=1e-9)


def test_inverse_depth_out_of_range_is_decoded_to_the_ends():
    raw = torch.tensor([0.0, -0.0, -5.0, 1e9, 1e-30, 0.5, math.inf, -math.inf]).view(1, 1, 2, 4)
    far, near = pytest.approx(655.35), pytest.approx(0.001)
    assert BERHU.decode(raw).flatten().tolist() == [far, near, near, near, far, far, near, near]
    assert BERHU.decode(torch.full((1, 1, 1, 1), math.nan)).isnan().all()
    assert BERHU.decode(raw.bfloat16()).dtype == torch.float32


def test_published_values_of_inverse_depth():
    z = inverse_normalised(torch.tensor([1.0, 10.0, 80.0, 655.35], dtype=torch.float64))
    assert z.tolist() == pytest.approx([648.87, 65.47, 8.19, 1.0], abs=0.005)


def test_disparity_is_decoded_between_a_tenth_and_a_hundred_metres():
    raw = torch.tensor([0.0, 0.5, 1.0, 0.01]).view(1, 1, 1, 4)
    assert DISPARITY.decode(raw).flatten().tolist() == pytest.approx([100, 0.1998, 0.1, 9.0992], rel=1e-5)
    target = torch.tensor([0.0, 1.1998, 0.1, 10.0992]).view(1, 1, 1, 4)
    assert DISPARITY.loss(raw, target).item() == pytest.approx(2 / 3, rel=1e-4)  # metres
    assert DISPARITY.channels == BERHU.channels == 1


def test_inverse_depth_labels_have_no_loss_in_metres():
    info = DatasetInfo("street", ("depth",), inverse_depth=True)
    for loss in ("l1_near", "inverse_berhu", "disparity"):
        with pytest.raises(SpecError, match=r"losses\.depth: loss '.*' is of metres.*'street' are inverse depth.*'l1'"):
            make_tasks(["depth"], info, [("depth", loss)])
    assert make_tasks(["depth"], info, [("depth", "l1")])["depth"].loss_name == "l1"


# edges


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_two_logits_are_a_weighted_softmax_cross_entropy(seed):
    g = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, 2, 4, 5, generator=g, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 1, 4, 5), generator=g)
    label, mine = torch.where(target == 2, 255, target), raw.clone().requires_grad_()
    theirs = raw.clone().requires_grad_()
    want = torch.nn.functional.cross_entropy(
        theirs, label[:, 0], weight=torch.tensor([0.05, 0.95], dtype=torch.float64), ignore_index=255
    )
    loss = TWO.loss(mine, label.double())
    loss.backward()
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)  # 0.05 and 0.95 are float32 here
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-6, atol=1e-9)
    each = [TWO.loss(raw[i : i + 1], label[i : i + 1].double()) for i in range(2)]
    torch.testing.assert_close(TWO.sample_losses(raw, label.double()), torch.stack(each))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_edge_is_decided_as_the_arg_max_decides(dtype):
    tiny = torch.finfo(dtype).tiny
    first = torch.tensor([0.0, 0, 0, 3, 100, 7, 0, -50], dtype=dtype)
    second = torch.tensor([0.0, tiny, -tiny, 3, -100, 7, 1e-9, 50], dtype=dtype)
    second[5] = torch.nextafter(second[5], torch.tensor(8.0, dtype=dtype))
    raw = torch.stack([first, second]).view(1, 2, 1, 8)
    p = TWO.decode(raw)
    assert p.shape == (1, 1, 1, 8)
    assert p.dtype == dtype
    assert torch.equal(p[0, 0] > 0.5, raw.argmax(1)[0] == 1)
    assert p[0, 0, 0, 0].item() == p[0, 0, 0, 3].item() == 0.5
    assert ((p >= 0) & (p <= 1)).all()
    torch.testing.assert_close(p, raw.softmax(1)[:, 1:], rtol=1e-6, atol=1e-7)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_f1_of_two_logits_is_that_of_their_arg_max(seed):
    g = torch.Generator().manual_seed(seed)
    raw = torch.randint(-2, 3, (2, 2, 6, 5), generator=g).float() * 1e-8  # many ties
    target = torch.randint(0, 2, (2, 1, 6, 5), generator=g).float()
    hard, soft = MacroF1(), MacroF1()
    soft.update(TWO.decode(raw), target)
    hard.update(raw.argmax(1, keepdim=True).float(), target)
    assert soft.compute() == pytest.approx(hard.compute(), nan_ok=True)


def test_metrics_and_pictures_take_probabilities():
    raw = torch.tensor([[2.0, -2.0], [-2.0, 2.0]]).view(1, 2, 1, 2)
    decoded = TWO.decode(raw)
    for metric in TWO.metrics():
        metric.update(decoded.expand(1, 1, 8, 2), torch.tensor([0.0, 1.0]).expand(1, 1, 8, 2))
        assert all(math.isfinite(v) for v in metric.compute().values())
    picture = TWO.picture(decoded[0])
    assert picture.shape == (1, 2, 3)
    assert picture[0, 0, 0] < 10
    assert picture[0, 1, 0] > 245


# what a loss changes, and what it does not


def test_channels_and_decoding_go_with_the_loss():
    one = make_tasks(["edges"], INFO)["edges"]
    assert (one.channels, TWO.channels, TWO.usual_channels) == (1, 2, 1)
    assert one.using("two_classes").using("weighted_cross_entropy").channels == 1
    assert one.using("two_classes").channels == 2
    assert one.channels == 1
    raw = torch.randn(1, 2, 3, 3)
    assert torch.equal(one.decode(raw[:, :1]), raw[:, :1].sigmoid())
    assert TWO.decode(raw).shape == (1, 1, 3, 3)
    with pytest.raises(SpecError, match=r"edges: prediction is \(1, 1, 3, 3\), the label asks for \(1, 2, 3, 3\)"):
        TWO.loss(raw[:, :1], torch.zeros(1, 1, 3, 3))


def test_every_loss_is_of_one_form():
    for name in TASKS:
        assert all(isinstance(loss, Loss) for loss in TASKS[name].LOSSES.values())
        first = next(iter(TASKS[name].LOSSES.values()))
        assert (first.counted, first.channels, first.decode, first.average) == (None,) * 4


def test_make_tasks_applies_losses():
    tasks = make_tasks(["edges", "semseg", "depth"], INFO, (("depth", "disparity"), ("edges", "two_classes")))
    assert {name: (task.loss_name, task.channels) for name, task in tasks.items()} == {
        "edges": ("two_classes", 2),
        "semseg": ("cross_entropy", 3),
        "depth": ("disparity", 1),
    }
    with pytest.raises(SpecError, match=r"objective\.losses: unknown task 'depht'\. Did you mean 'depth'"):
        make_tasks(["depth"], INFO, [("depht", "l1")])
    with pytest.raises(SpecError, match=r"objective\.losses: unknown task 'edges'"):
        make_tasks(["depth"], INFO, [("edges", "two_classes")])
    with pytest.raises(SpecError, match=r"objective\.losses\.depth: unknown loss 'berhu'"):
        make_tasks(["depth"], INFO, [("depth", "berhu")])


# trivial predictor


def test_the_sky_is_no_part_of_the_constant_unless_there_is_nothing_else():
    street = torch.tensor([[10.0, 0.0, 30.0, 80.0, 655.35]])
    sky = torch.full((2, 2), 655.35)
    for task in (BERHU, make_tasks(["depth"], INFO)["depth"]):
        assert task.trivial([street, sky]).item() == pytest.approx(20)
        assert task.trivial([sky, torch.zeros(2, 2)]).item() == pytest.approx(655.35)
        assert task.trivial([torch.tensor([[79.0, 81.0]])]).item() == pytest.approx(79)
    inverse = make_tasks(["depth"], DatasetInfo("pixels", ("depth",), inverse_depth=True))["depth"]
    assert inverse.trivial([torch.tensor([[60.0, 100.0]])]).item() == pytest.approx(80)
