import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torchmetrics.classification import BinaryFBetaScore, BinaryJaccardIndex

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.saliency import (
    FIFTEEN,
    NINETEEN,
    SaliencyF03,
    SaliencyF03Image,
    SaliencyF03Sigmoid,
    SaliencyF1,
    SaliencyJaccard,
    f_measure,
    threshold_counts,
)

CURVES = (SaliencyJaccard, SaliencyF1, SaliencyF03, SaliencyF03Sigmoid)
every = pytest.mark.parametrize("make", [*CURVES, SaliencyF03Image])
curves = pytest.mark.parametrize("make", CURVES)


def fed(make, *batches):
    metric = make()
    for p, y in batches:
        p, y = (torch.as_tensor(v) for v in (p, y))
        metric.update(p.unsqueeze(1), y.float().unsqueeze(1))
    return metric


def values(make, *batches):
    metric = fed(make, *batches)
    return np.array(metric.curve()[metric.judged])


def figure(make, *batches):
    (value,) = fed(make, *batches).compute().values()
    return value


def sample(seed, shape=(3, 6, 5), grid=False):
    """Images of different foreground shares; on the grid, many values tie with a threshold."""
    rs = RandomState(seed)
    y = (rs.rand(*shape) < np.linspace(0.1, 0.7, shape[0]).reshape(-1, 1, 1)).astype("float32")
    p = np.clip(0.5 + 0.4 * (y - 0.5) + 0.3 * rs.randn(*shape), 0, 1)
    y[rs.rand(*shape) < 0.2] = 255
    return torch.from_numpy(np.round(20 * p) / 20 if grid else p.astype("float32")), torch.from_numpy(y)


# --- brute force ------------------------------------------------------------------------------------------------------


def table(p, y, t, strict):
    """TP, FP, FN of one image's valid pixels, one by one."""
    tp = fp = fn = 0
    for value, label in zip(p.double().flatten().tolist(), y.flatten().tolist(), strict=True):
        if label != 255:
            called = value > t if strict else value >= t
            tp, fp, fn = tp + (called and label == 1), fp + (called and label == 0), fn + (not called and label == 1)
    return tp, fp, fn


def f03(tp, fp, fn):
    p, r = tp / (tp + fp) if tp + fp else math.nan, tp / (tp + fn) if tp + fn else math.nan
    bottom = 0.3 * p + r
    return 1.3 * p * r / bottom if bottom > 0 else 0.0  # NaN > 0 is false


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def brute_force(make, p, y):
    """The curve of a protocol; for the per-image maximum, a curve of one."""
    fifteen, nineteen = [0.2 + 0.05 * k for k in range(15)], [k / 20 for k in range(1, 20)]
    if make is SaliencyF03Sigmoid:
        p = p.double().sigmoid()
    images = [(a, b) for a, b in zip(p, y, strict=True) if (b != 255).any()]
    curve = []
    if make is SaliencyF03Image:
        best = [max(f03(*table(a, b, t, False)) for t in nineteen) for a, b in images if (b == 1).any()]
        return [mean(best)]
    for t in nineteen if make in (SaliencyF03, SaliencyF03Sigmoid) else fifteen:
        counts = [table(a, b, t, make in (SaliencyJaccard, SaliencyF1)) for a, b in images]
        if make is SaliencyJaccard:
            curve.append(mean(tp / (tp + fp + fn) if tp + fp + fn else 1.0 for tp, fp, fn in counts))
        elif make is SaliencyF1:
            precision = mean(tp / (tp + fp) if tp + fp else 0.0 for tp, fp, fn in counts)
            recall = mean(tp / (tp + fn) if tp + fn else 0.0 for tp, fp, fn in counts)
            curve.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        else:
            curve.append(f03(*map(sum, zip(*counts, strict=True))))
    return curve


@every
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), grid=st.booleans())
def test_against_brute_force(make, seed, grid):
    p, y = sample(seed, grid=grid and make not in (SaliencyJaccard, SaliencyF1))
    if seed % 3 == 0:
        y[1] = 255
    if seed % 3 == 1:
        y[1] = 0
    want = brute_force(make, p, y)
    assert figure(make, (p, y)) == pytest.approx(max(want), rel=1e-10)
    if make in CURVES:
        metric = fed(make, (p, y))
        np.testing.assert_allclose(metric.curve()[metric.judged], want, rtol=1e-10, atol=1e-12)
        at = int(np.argmin(np.abs(np.asarray(make.thresholds) - metric.best_threshold())))
        assert want[at] == pytest.approx(max(want), rel=1e-10)
        assert all(v < want[at] + 1e-12 for v in want[:at])


@pytest.mark.parametrize("seed", range(3))
def test_against_torchmetrics_at_every_threshold(seed):
    p, y = sample(seed)
    y = y.long()
    pooled, image = values(SaliencyF03, (p, y)), values(SaliencyJaccard, (p, y))
    score = [BinaryFBetaScore(math.sqrt(0.3), threshold=t, ignore_index=255)(p, y) for t in NINETEEN.tolist()]
    np.testing.assert_allclose(pooled, score, rtol=1e-6)
    for k, t in enumerate(FIFTEEN.tolist()):
        jaccard = BinaryJaccardIndex(threshold=t, ignore_index=255)
        assert float(image[k]) == pytest.approx(mean(float(jaccard(a, b)) for a, b in zip(p, y, strict=True)), rel=1e-6)


# --- vectors ----------------------------------------------------------------------------------------------------------


def sal1():
    rs = RandomState(4)
    y = rs.rand(3, 12, 12) < np.array([0.2, 0.4, 0.6]).reshape(3, 1, 1)
    p = 1 / (1 + np.exp(-(1.2 * (2.0 * y - 1) + 1.5 * rs.randn(3, 12, 12))))
    return p, y


def sal(number):
    p, y = sal1()
    if number in (2, 3):
        y[0] = 0
    if number == 2:
        p[0] = 0.05
    if number == 4:
        y[:] = 0
    return p, y


def test_input_of_sal1():
    p, y = sal1()
    assert y.sum() == 173
    assert p.sum() == pytest.approx(201.82586, abs=5e-6)


@pytest.mark.parametrize(
    ("number", "jaccard", "at", "f1", "f03", "f03_sigmoid"),
    [
        (1, 0.59395712, 0.5, 0.74836199, 0.75235528, 0.72996420),
        (2, 0.76918239, 0.4, 0.52750219, 0.78329808, 0.76115239),
        (3, 0.43584906, 0.4, 0.52750219, 0.64332396, 0.61805552),
        (4, 0.0, 0.2, 0.0, 0.0, 0.0),
    ],
    ids=["SAL1", "SAL2", "SAL3", "SAL4"],
)
def test_vectors(number, jaccard, at, f1, f03, f03_sigmoid):
    batch = sal(number)
    got = [figure(make, batch) for make in CURVES]
    assert got == pytest.approx([jaccard, f1, f03, f03_sigmoid], rel=1e-7)
    assert fed(SaliencyJaccard, batch).best_threshold() == pytest.approx(at)


def test_vector_sal1_at_every_threshold():
    want = """.48730640 .50599129 .54090316 .56012709 .57792556 .59071580 .59395712 .58363007 .52391616 .52643275
              .50908404 .48128723 .46138842 .36572735 .25811280"""
    np.testing.assert_allclose(values(SaliencyJaccard, sal1()), [float(v) for v in want.split()], rtol=1e-7)


def test_vector_of_mti_net_stored_in_8_bits():
    rs = RandomState(106)
    batches = []
    for image in range(3):
        y = rs.rand(7, 8) < 0.4
        p = np.clip(0.5 * y + 0.25 + 0.35 * rs.randn(7, 8), 0, 1)
        if image == 2:
            y[:] = False
        batches.append((np.trunc(255 * p)[None] / 255, y[None]))
    assert figure(SaliencyJaccard, *batches) == pytest.approx(0.39607843, rel=1e-7)
    assert figure(SaliencyF1, *batches) == pytest.approx(0.49695755, rel=1e-7)
    want = [0.346658, 0.352550, 0.362939, 0.384025, 0.396078, 0.386111, 0.394777, 0.375309, 0.335043, 0.342738]
    want += [0.338624, 0.314815, 0.314815, 0.280000, 0.143333]
    np.testing.assert_allclose(values(SaliencyJaccard, *batches), want, atol=5e-7)


@pytest.mark.parametrize(("bits", "f1", "jaccard"), [(0, 0.628205, 0.457388), (8, 0.628742, 0.457939)])
def test_vector_of_mt_cp(bits, f1, jaccard):
    rs = RandomState(33)
    batches = []
    for _ in range(2):
        y = rs.rand(2, 1, 20, 20) < 0.3
        logit = (2.0 * y - 1) + 1.5 * rs.standard_normal(y.shape)
        p = torch.from_numpy(logit.astype("float32")).sigmoid().double()
        batches.append(((torch.trunc(255 * p) / 255 if bits else p)[:, 0], y[:, 0]))
    assert figure(SaliencyF1, *batches) == pytest.approx(f1, abs=5e-7)
    assert figure(SaliencyJaccard, *batches) == pytest.approx(jaccard, abs=5e-7)
    if not bits:
        want = [0.552821, 0.574252, 0.588932, 0.600992, 0.613847, 0.628205, 0.621712, 0.625354, 0.622456, 0.609860]
        want += [0.589079, 0.567793, 0.511803, 0.417193, 0.328774]
        np.testing.assert_allclose(values(SaliencyF1, *batches), want, atol=5e-7)


def test_vector_of_invpt_and_atrc():
    rs = RandomState(0)
    size = (2, 1, 8, 10)
    rs.randn(2, 5, 8, 10), rs.randint(0, 5, size), rs.rand(*size)  # segmentation
    rs.randn(*size), rs.rand(*size), rs.rand(*size)  # depth
    rs.randn(2, 3, 8, 10), rs.randn(2, 3, 8, 10), rs.rand(*size)  # normals
    rs.randn(*size), rs.rand(*size), rs.rand(*size)  # edges
    logits, y = rs.randn(2, 2, 8, 10), (rs.rand(*size) < 0.35).astype("float32")
    y[rs.rand(*size) < 0.1] = 255
    assert logits.sum() == pytest.approx(-2.63565, abs=1e-5)
    assert y.sum() == 4391
    batch = torch.from_numpy(logits.astype("float32")).softmax(1)[:, 1], y[:, 0]
    want = """.45311 .43676 .41813 .42369 .43408 .42623 .42560 .38397 .37225 .38325 .35547 .36431 .38487 .37956 .27336
              .28261 .24528 .16387 0"""
    np.testing.assert_allclose(values(SaliencyF03, batch), [float(v) for v in want.split()], atol=5e-6)
    assert figure(SaliencyF03, batch) == pytest.approx(0.4531052, rel=2e-7)
    want = [0.45557] * 10 + [0.42369, 0.37420, 0.36111, 0.24528] + [0.0] * 5
    np.testing.assert_allclose(values(SaliencyF03Sigmoid, batch), want, atol=5e-6)
    assert figure(SaliencyF03Sigmoid, batch) == pytest.approx(0.4555694, rel=2e-7)


# --- thresholds -------------------------------------------------------------------------------------------------------


def test_thresholds():
    assert NINETEEN.tolist() == [k / 20 for k in range(1, 20)]
    assert FIFTEEN.tolist() == np.linspace(0.2, 0.9, 15).tolist()
    assert [m.thresholds.dtype for m in (*CURVES, SaliencyF03Image)] == [torch.float64] * 5


def test_ties_are_below_a_strict_threshold_and_above_the_other():
    y = np.ones((1, 1, 1))
    for k in range(1, 20):
        assert fed(SaliencyF03, (y * k / 20, y)).best_threshold() == 0.05
        assert np.count_nonzero(values(SaliencyF03, (y * k / 20, y))) == k
    for k, t in enumerate(FIFTEEN.tolist()):
        assert np.count_nonzero(values(SaliencyJaccard, (y * t, y))) == k
        assert np.count_nonzero(values(SaliencyJaccard, (y * np.nextafter(t, 1), y))) == k + 1
    # 0.2 in float32 lies above 0.2 in float64, where the comparison is made
    assert np.count_nonzero(values(SaliencyJaccard, (torch.full((1, 1, 1), 0.2), y))) == 1


def test_a_second_sigmoid_leaves_five_operating_points():
    p = torch.linspace(0, 1, 10001, dtype=torch.float64).view(-1, 1, 1)
    called = torch.stack([p.sigmoid() >= t for t in NINETEEN]).flatten(1)
    assert len({tuple(row.tolist()) for row in called if row.any()}) == 5
    counts = threshold_counts(p.view(1, 1, 1, -1), torch.ones(1, 1, 1, 10001), SaliencyF03Sigmoid.cuts, strict=False)
    assert torch.equal(counts["called"][0], called.sum(1))
    assert counts["called"][0, :10].tolist() == [10001] * 10  # up to 0.50 all is foreground, p = 0 included
    assert counts["called"][0, 14:].tolist() == [0] * 5  # from 0.75 on nothing is
    lowest = [float(p.flatten()[row].min()) for row in called[10:14]]
    np.testing.assert_allclose(lowest, [0.2007, 0.4055, 0.6190, 0.8473], atol=1e-4)
    # so it can tell five levels apart and no more
    y, levels = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.85, 0.84]]])
    assert figure(SaliencyF03Sigmoid, (levels, y)) == 1
    assert figure(SaliencyF03Sigmoid, (levels + 0.1, y)) == figure(SaliencyF03Sigmoid, (levels * 0 + 0.5, y)) < 1


def test_f_measure_is_the_quotient_of_precision_and_recall():
    for tp, fp, fn in np.ndindex(4, 4, 4):
        got = f_measure(*(torch.tensor(v) for v in (tp, tp + fp, tp + fn)))
        assert got.dtype == torch.float64
        assert float(got) == pytest.approx(f03(tp, fp, fn), rel=1e-14)


# --- edges of the protocols -------------------------------------------------------------------------------------------


def test_images_where_something_is_empty():
    zeros, ones = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    full, half = (ones, ones), (ones, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    assert figure(SaliencyJaccard, (zeros, zeros)) == 1
    assert figure(SaliencyF1, (zeros, zeros)) == 0
    assert figure(SaliencyF03, (zeros, zeros)) == 0
    assert math.isnan(figure(SaliencyF03Image, (zeros, zeros)))
    for make in (*CURVES, SaliencyF03Image):
        assert figure(make, full) == pytest.approx(1)
    for make in (SaliencyJaccard, SaliencyF1, SaliencyF03, SaliencyF03Image):
        assert figure(make, (zeros, ones)) == 0
    assert figure(SaliencyF03Sigmoid, (zeros, ones)) == 1  # all is foreground at the lowest operating point
    for make in CURVES:
        assert figure(make, (ones, zeros)) == 0
    half_f = 1.3 * 0.5 / (0.3 * 0.5 + 1)
    assert figure(SaliencyF03Image, half, full, (ones, zeros)) == pytest.approx((half_f + 1) / 2)
    assert figure(SaliencyF03Image, half, (zeros, ones)) == pytest.approx(half_f / 2)


def test_the_maximum_per_image_is_at_least_that_of_one_threshold():
    p, y = sample(0, shape=(4, 8, 8))
    per_image = [figure(SaliencyF03, (p[i : i + 1], y[i : i + 1])) for i in range(4)]
    assert figure(SaliencyF03Image, (p, y)) == pytest.approx(mean(per_image))
    low = p / 2  # other images need other thresholds
    want = [figure(SaliencyF03Image, (a[:1], y[:1])) for a in (p, low)]
    assert figure(SaliencyF03Image, (p[:1], y[:1]), (low[:1], y[:1])) == pytest.approx(mean(want))


@every
def test_an_ignored_image_does_not_count(make):
    p, y = sample(1)
    assert figure(make, (p, y), (p, torch.full_like(y, 255))) == figure(make, (p, y))
    assert math.isnan(figure(make, (p, torch.full_like(y, 255))))
    assert math.isnan(figure(make))


@curves
def test_without_a_valid_pixel_there_is_no_curve(make):
    metric = fed(make)
    assert metric.curve() == {}
    assert math.isnan(metric.best_threshold())
    assert {v.shape for v in metric.state.values() if v.ndim} == {make.thresholds.shape}


@curves
def test_curves_are_lists_as_long_as_the_thresholds(make):
    p, y = sample(7)
    curve = fed(make, (p, y)).curve()
    assert curve["thresholds"] == make.thresholds.tolist()
    assert {len(v) for v in curve.values()} == {len(make.thresholds)}
    assert all(0 <= v <= 1 for values in curve.values() for v in values)
    if make is SaliencyJaccard:
        assert list(curve) == ["thresholds", "jaccard"]
        return
    assert list(curve) == ["thresholds", "precision", "recall", "f"]
    assert curve["recall"] == sorted(curve["recall"], reverse=True)
    b = 1 if make is SaliencyF1 else 0.3
    precision, recall = (np.array(curve[name]) for name in ("precision", "recall"))
    want = (1 + b) * precision * recall / np.maximum(b * precision + recall, 1e-9)
    np.testing.assert_allclose(curve["f"], want, rtol=1e-9)


@every
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_invariants(make, seed, order, cut):
    p, y = sample(seed, shape=(4, 6, 5))
    want = figure(make, (p, y))
    assert 0 <= want <= 1
    for anything in (0.0, 1.0, -3.0, math.nan, math.inf):
        assert figure(make, (torch.where(y == 255, anything, p), y)) == want
    assert figure(make, (p.flip(-1), y.flip(-1))) == want
    assert figure(make, *((p[i : i + 1], y[i : i + 1]) for i in order)) == pytest.approx(want, rel=1e-12)
    one, two = fed(make, (p[order[:cut]], y[order[:cut]])), fed(make, (p[order[cut:]], y[order[cut:]]))
    assert list(one.merge(two).compute().values()) == pytest.approx([want], rel=1e-12)
    assert {v.dtype for v in one.state.values()} <= {torch.int64, torch.float64}


@every
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_perfect_prediction_scores_one(make, seed):
    p, y = sample(seed)
    y[:, 0, 0] = 1  # foreground in every image
    assert figure(make, (torch.where(y == 255, p, y), y)) == pytest.approx(1, abs=1e-9)
    if make is not SaliencyF03Sigmoid:
        assert figure(make, (torch.where(y == 255, p, 1 - y), y)) == 0


@every
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_not_finite_breaks_the_figure(make, value):
    p, y = sample(2)
    p[0, 0, 0], y[0, 0, 0] = value, 1
    metric = fed(make, (p, y), sample(3))
    assert all(math.isnan(v) for v in metric.compute().values())
    if make in CURVES:
        assert math.isnan(metric.best_threshold())


@every
def test_half_precision_and_integer_labels_count_alike(make):
    p, y = sample(4)
    want = figure(make, (p.half().float(), y))
    assert figure(make, (p.half(), y)) == want
    metric = make()
    metric.update(p.half().unsqueeze(1), y.byte().unsqueeze(1))
    assert list(metric.compute().values()) == [want]


def test_bad_input():
    p, y = (v.unsqueeze(1) for v in sample(5))
    with pytest.raises(SpecError, match=r"saliency: prediction is not in.*not logits"):
        SaliencyF03().update(p * 4 - 2, y)
    with pytest.raises(SpecError, match="not logits"):
        SaliencyF03Sigmoid().update(p + 0.5, y)
    with pytest.raises(SpecError, match=r"saliency: .*\(B, 1, H, W\)"):
        SaliencyJaccard().update(p[:, 0], y[:, 0])
    with pytest.raises(SpecError, match=r"saliency: .*\(B, 1, H, W\)"):
        SaliencyJaccard().update(p[:2], y)
    with pytest.raises(DataError, match="saliency: label holds NaN or infinity"):
        SaliencyF1().update(p, torch.where(y == 1, math.nan, y))
    for value in (0.5, 2, 254):
        with pytest.raises(DataError, match=f"saliency: label holds the value {value}"):
            SaliencyF1().update(p, torch.where(y == 1, value, y))
    with pytest.raises(SpecError, match="cannot merge saliency/f03-sigmoid@1 into saliency/f03@1"):
        SaliencyF03().merge(SaliencyF03Sigmoid())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
def test_cuda_agrees_with_cpu(make):
    p, y = sample(6)
    assert figure(make, (p.cuda(), y.cuda())) == pytest.approx(figure(make, (p, y)), rel=1e-12)
