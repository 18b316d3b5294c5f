import math
from itertools import pairwise

import numpy as np
import pytest
from boundary_maps import diagonal, lines, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.metrics.boundary.assignment import least_cost_matching
from mtlrepro.metrics.boundary.summary import (
    Curve,
    at_own_best,
    average_precision,
    best_interpolated,
    curve,
    f_measure,
)
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.metrics.odsf import BoundaryBSDS, BoundaryPNG

NINE = np.linspace(0.1, 0.9, 9)


def points(values):
    return 100 * np.asarray(values)


# --- the vectors of a data set ----------------------------------------------------------------------------------------


def b6(i):
    """Stored prediction and truth of image i."""
    g = lines(70 + i)
    rs = RandomState(120 + i)
    a = np.roll(g, (1, 1), (0, 1)) * (0.3 + 0.7 * rs.rand(40, 56))
    b = (rs.rand(40, 56) < 0.08) * rs.rand(40, 56)
    return np.floor(255 * np.maximum(a, b)).astype(np.uint8), g


def b7(i):
    stored, g = b6(i)
    return stored, [g, np.roll(g, (1, 0), (0, 1)), g & (RandomState(200 + i).rand(40, 56) < 0.8)]


def over(make, mode, images=b6):
    """The accumulator of a data set, and the counts of its images."""
    metric = make(0.03, mode, NINE, truth="as-is", threads=1)
    counts = []
    for i in range(3):
        stored, truths = images(i)
        counts.append(metric.count(stored, truths if isinstance(truths, list) else [truths]))
        metric.add(counts[-1])
    return metric, counts


B6_PREDICTED = """451 450 390  440 438 382  431 419 377  368 359 329  321 293 275  262 244 224  200 179 174  130 124 129
                  70 67 61"""
B6_PAIRS = """350 346 293  350 346 293  350 346 293  320 313 275  281 263 234  229 218 191  177 161 147  120 114 114
              62 63 53"""
B6_LOSS = """.365 .377 .375  .420 .441 .382  .474 .507 .398  .257 .087 .216  .108 .099 .106  .031 .025 .027
             .004 .002 .003  0 0 0  0 0 0"""


def column(text):
    return np.array(text.split(), float).reshape(9, 3).T


def test_vector_b6_counts():
    _, exact = over(BoundaryPNG, "exact")
    _, usual = over(BoundaryPNG, "expected")
    assert [c.truth.tolist() for c in exact] == [[n] * 9 for n in (350, 346, 293)]
    np.testing.assert_array_equal([c.predicted for c in exact], column(B6_PREDICTED))
    np.testing.assert_array_equal([c.matched for c in exact], column(B6_PAIRS))
    np.testing.assert_array_equal([c.matched_truth for c in exact], column(B6_PAIRS))
    lost = np.array([e.matched - u.matched for e, u in zip(exact, usual, strict=True)])
    np.testing.assert_allclose(lost, column(B6_LOSS), atol=5e-4)


@pytest.mark.parametrize(
    ("mode", "discrete", "interpolated", "oisf", "ap"),
    [("expected", 89.1354, 89.1413, 89.4653, 72.074), ("exact", 89.2599, 89.2606, 89.5756, 72.718)],
)
def test_vector_b6_figures(mode, discrete, interpolated, oisf, ap):
    for make, odsf in [(BoundaryPNG, discrete), (BoundaryBSDS, interpolated)]:
        metric, _ = over(make, mode)
        got = {name: 100 * value for name, value in metric.compute().items()}
        assert got["odsf"] == pytest.approx(odsf, abs=5e-5)
        assert got["oisf"] == pytest.approx(oisf, abs=5e-5)
        assert got["ap"] == pytest.approx(ap, abs=5e-4)
        # the public matcher, mean of 100 runs
        assert got["odsf"] == pytest.approx(89.127 if make is BoundaryPNG else 89.140, abs=0.15)
        assert got["oisf"] == pytest.approx(89.450, abs=0.15)
        assert got["ap"] == pytest.approx(72.50, abs=1)
    best = metric.curve()["thresholds"][int(np.argmax(metric.curve()["f"]))]
    assert best == pytest.approx(0.3)


def test_vector_b6_curve():
    metric, _ = over(BoundaryPNG, "exact")
    c = metric.curve()
    assert c["thresholds"] == NINE.tolist()
    precision = "76.6073 78.4921 80.6031 85.9848 87.5141 87.3973 87.7034 90.8616 89.8990"
    recall = "100 100 100 91.8099 78.6653 64.5096 49.0394 35.1871 17.9980"
    f = "86.7544 87.9502 89.2599 88.8020 82.8541 74.2292 62.9053 50.7289 29.9916"
    for name, want in [("precision", precision), ("recall", recall), ("f", f)]:
        np.testing.assert_allclose(points(c[name]), [float(v) for v in want.split()], atol=5.1e-5)


def test_vector_b7():
    metric, counts = over(BoundaryPNG, "expected", b7)
    assert [c.truth[2] for c in counts] == [986, 971, 821]
    np.testing.assert_allclose([c.matched_truth[2] for c in counts], [985.0, 970.0, 820.1], atol=0.5)
    np.testing.assert_allclose([c.matched[2] for c in counts], [367.8, 359.9, 307.8], atol=4)  # ties: sd 1.5
    figures = metric.compute()
    assert 100 * figures["odsf"] == pytest.approx(91.68, abs=0.2)
    assert 100 * figures["oisf"] == pytest.approx(91.97, abs=0.2)


@pytest.mark.parametrize(("image", "official"), [(0, 367.8), (1, 359.9), (2, 307.8)])
def test_vector_b7_union_over_many_draws_of_ties(image, official):
    stored, truths = b7(image)
    p = thin(stored / 255 >= NINE[2])
    found = [tables(p, g, 0.03) for g in truths]
    unions = [
        sum(least_cost_matching(a, b, mine, g, 56, 0.03 * diagonal(p), 10 * s + n) for n, (a, b, mine, g) in all_of)
        for s in range(30)
        for all_of in [list(enumerate(found))]
    ]
    assert np.mean([(u > 0).sum() for u in unions]) == pytest.approx(official, abs=1.5)


# --- oracles ----------------------------------------------------------------------------------------------------------

seeds = st.integers(0, 10**6)


def random_counts(seed, images=3, thresholds=7):
    """(images, 4, K) whole numbers that thresholding could give; some images are empty in one way or the other."""
    rs = RandomState(seed)
    out = np.zeros((images, 4, thresholds))
    for image in out:
        true, most = rs.randint(0, 60) * rs.randint(0, 2), rs.randint(0, 80)
        image[1] = true
        image[3] = np.sort(rs.randint(0, most + 1, thresholds))[::-1]
        image[0] = image[2] = np.minimum(np.floor(image[3] * rs.rand()), true)
    return out


def ratios(cnt_r, sum_r, cnt_p, sum_p, empty):
    if sum_r == 0:
        precision = 0.0
        recall = empty
    else:
        recall = cnt_r / sum_r
        precision = cnt_p / sum_p if sum_p else empty
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def interpolated(x, xs, ys):
    """Linear interpolation over ascending xs, nothing outside."""
    for (a, u), (b, v) in pairwise(zip(xs, ys, strict=True)):
        if a <= x <= b:
            return u + (v - u) * (x - a) / (b - a)
    return ys[0] if x == xs[0] else 0.0


@settings(deadline=None, max_examples=80)
@given(seeds, st.sampled_from([0.0, 1.0]), st.integers(1, 8))
def test_figures_against_plain_loops(seed, empty, thresholds):
    images = random_counts(seed, thresholds=thresholds)
    pooled = images.sum(0)
    c = curve(pooled, empty)
    want = [ratios(*row, empty) for row in pooled.T.tolist()]
    np.testing.assert_allclose(np.transpose([c.precision, c.recall, c.f]), want, rtol=1e-12)

    for image in images:
        f = [round(ratios(*row, empty)[2], 6) for row in image.T.tolist()]
        np.testing.assert_array_equal(at_own_best(image), image[:, f.index(max(f))])

    first = {}
    for precision, recall, _ in want:
        first.setdefault(recall, precision)
    xs = sorted(first)
    ys = [first[x] for x in xs]
    area = sum(interpolated(k / 100, xs, ys) for k in range(101)) / 100
    assert average_precision(c) == pytest.approx(area, rel=1e-9, abs=1e-12)

    best = max(f for _, _, f in want)
    for (p0, r0, _), (p1, r1, _) in pairwise(want):
        for k in range(100):
            p, r = (a + (b - a) * k / 99 for a, b in ((p0, p1), (r0, r1)))
            best = max(best, 2 * p * r / (p + r) if p + r else 0.0)
    assert best_interpolated(c) == pytest.approx(best, rel=1e-9)
    assert best_interpolated(c) >= c.f.max()


# --- conventions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "seism", "bsds"),
    [
        ((0, 331, 0, 0), (1, 0, 0), (0, 0, 0)),  # empty prediction, B4j
        ((0, 0, 0, 331), (0, 1, 0), (0, 0, 0)),  # empty truth, B4k
        ((0, 0, 0, 0), (0, 1, 0), (0, 0, 0)),  # both, B4l
        ((0, 331, 0, 331), (0, 0, 0), (0, 0, 0)),
        ((331, 331, 331, 331), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_empty_maps(counts, seism, bsds):
    column = np.array(counts, float)[:, None]
    for empty, want in ((1.0, seism), (0.0, bsds)):
        c = curve(column, empty)
        assert (c.precision.item(), c.recall.item(), c.f.item()) == want


def test_precision_of_an_empty_prediction_changes_ap_alone():
    counts = np.array([[10.0, 6, 0], [20, 20, 20], [10, 6, 0], [15, 8, 0]])
    seism, bsds = curve(counts, 1.0), curve(counts, 0.0)
    np.testing.assert_array_equal(seism.f, bsds.f)
    assert seism.precision.tolist() == [10 / 15, 6 / 8, 1]
    assert bsds.precision.tolist() == [10 / 15, 6 / 8, 0]
    assert average_precision(seism) > average_precision(bsds) > 0
    np.testing.assert_array_equal(at_own_best(counts), counts[:, 0])


def test_own_best_takes_the_lowest_of_equal_thresholds():
    counts = np.array([[5.0, 8, 8, 2], [10, 10, 10, 10], [5, 8, 8, 2], [10, 10, 10, 2]])
    assert at_own_best(counts).tolist() == [8, 10, 8, 10]
    np.testing.assert_array_equal(at_own_best(counts[:, ::-1]), counts[:, 1])
    counts[0, 2] = counts[2, 2] = 8.000001  # larger in the seventh decimal only
    np.testing.assert_array_equal(at_own_best(counts), counts[:, 1])
    counts[0, 2] = counts[2, 2] = 8.0001
    np.testing.assert_array_equal(at_own_best(counts), counts[:, 2])


def test_figures_of_own_thresholds_may_be_below_those_of_one():
    """One image gains by a threshold that is its own best, and the pool loses."""
    images = np.array([[[8.0, 4], [10, 10], [8, 4], [200, 95]], [[500, 900], [1000, 1000], [500, 900], [500, 900]]])
    own = curve(sum(at_own_best(i) for i in images)[:, None]).f.item()
    mean = np.mean([curve(i).f.max() for i in images])
    assert not math.isclose(own, mean, rel_tol=0.05)
    low = np.array([[[9.0, 3], [10, 10], [9, 3], [1000, 331]], [[90, 80], [100, 100], [90, 80], [90, 80]]])
    assert curve(low.sum(0)).f.max() > curve(sum(at_own_best(i) for i in low)[:, None]).f.item()


def test_average_precision():
    def area(recall, precision):
        recall, precision = np.array(recall), np.array(precision)
        return average_precision(Curve(precision, recall, f_measure(precision, recall)))

    assert area([1.0, 0.0], [1.0, 1.0]) == pytest.approx(1.01)  # 101 points, divided by 100
    assert area([0.5, 0.0], [1.0, 1.0]) == pytest.approx(0.51)
    assert area([1.0, 0.0], [0.0, 1.0]) == pytest.approx(0.505)
    assert area([1.0, 1.0, 0.0], [0.2, 0.8, 0.4]) == pytest.approx(101 * 0.3 / 100)  # the first of equal recalls
    assert area([0.0], [1.0]) == pytest.approx(0.01)
    assert area([0.005], [1.0]) == 0


def test_between_two_thresholds():
    c = curve(np.array([[90.0, 40], [100, 100], [90, 40], [300, 40]]))
    mix = np.linspace(0, 1, 10001)
    p, r = (mix * v[1] + (1 - mix) * v[0] for v in (c.precision, c.recall))
    finest = (2 * p * r / (p + r)).max()
    assert best_interpolated(c) == pytest.approx(finest, abs=1e-4)
    assert best_interpolated(c) > c.f.max() + 0.05
    one = curve(np.array([[4.0], [10], [4], [8]]))
    assert best_interpolated(one) == one.f.item()
