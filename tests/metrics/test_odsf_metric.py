import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from scipy.ndimage import gaussian_filter

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.boundary.counts import Counts, boundary_counts, levels_of
from mtlrepro.metrics.boundary.suppression import suppress
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.metrics.boundary.truth import contours
from mtlrepro.metrics.odsf import BoundaryBSDS, BoundaryF, BoundaryNMS, BoundaryPNG

ALL = (BoundaryPNG, BoundaryNMS, BoundaryBSDS)
every = pytest.mark.parametrize("make", ALL)
NINE = [k / 10 for k in range(1, 10)]


def sample(seed, images=3, annotators=1, size=(24, 30)):
    """Lines between segments, drawn by each annotator with other gaps, and a soft map of them with clutter."""
    rs = RandomState(seed)
    p, y = np.zeros((images, 1, *size)), np.zeros((images, annotators, *size))
    for i in range(images):
        blobs = np.digitize(gaussian_filter(rs.randn(*size), 3), [-0.05, 0.05])
        g = thin(contours(blobs))
        y[i] = g & (rs.rand(annotators, *size) < 0.9)
        p[i] = np.clip(2 * gaussian_filter(g.astype(float), 0.8) * rs.uniform(0.6, 1.4) + 0.2 * rs.rand(*size), 0, 1)
    return torch.from_numpy(p).float(), torch.from_numpy(y).float()


def built(make, **options):
    return make(**{"max_dist": 0.05, "threads": 1} | options)


def fed(make, *batches, **options):
    metric = built(make, **options)
    for p, y in batches:
        metric.update(p, y)
    return metric


def figures(make, *batches, **options):
    return fed(make, *batches, **options).compute()


# --- the vector of MTI-Net --------------------------------------------------------------------------------------------

CHAMFER = {1.0: [(0, 1), (1, 0)], 1.4: [(1, 1), (1, -1)], 2.1969: [(1, 2), (2, 1), (1, -2), (2, -1)]}
"""Length of a step -> steps, one of each pair of opposite ones: OpenCV's distance for masks of 5x5 pixels."""


def chamfer(lines):
    """Length of the shortest way from each pixel to a set one, relaxed until nothing changes."""
    distance, before = np.where(lines, 0, np.inf), None
    height, width = lines.shape
    while before is None or (before != distance).any():
        before = distance.copy()
        for length, steps in CHAMFER.items():
            for dy, dx in [*steps, *((-y, -x) for y, x in steps)]:
                here = np.s_[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
                there = np.s_[max(dy, 0) : height - max(-dy, 0), max(dx, 0) : width - max(-dx, 0)]
                distance[here] = np.minimum(distance[here], distance[there] + length)
    return distance


def test_vector_of_mti_net():
    """Published within 0.005, since the public matcher draws random numbers."""
    y, x = np.mgrid[:60, :80]
    metric, true, predicted = BoundaryPNG(threads=1), [], []
    for k in range(3):
        labels = np.where((y - 20 - 3 * k) ** 2 + (x - 30) ** 2 < 144, 2, 1)
        labels[(y > 35) & (x > 45 + 2 * k)] = 3
        rs = RandomState(300 + k)
        p = 0.9 * np.exp(-0.5 * chamfer(contours(labels)) ** 2) * rs.rand(60, 80) + 0.25 * rs.rand(60, 80)
        counts = metric.count(np.trunc(255 * np.clip(p, 0, 1)).astype(np.uint8), [labels])
        metric.add(counts)
        (*_, sum_r, matched_p, sum_p) = counts.stack()[:, 49]
        true.append(sum_r)
        predicted.append((sum_p, matched_p))
    assert true == [124, 122, 120]
    # Of 119, 126 and 132 pixels at 0.5, the published 56, 55 and 58 were matched.
    for found, wanted in zip(predicted, [(119, 56), (126, 55), (132, 58)], strict=True):
        assert found == pytest.approx(wanted, abs=2.2)
    curve = metric.precision_recall()
    best = int(curve.f.argmax())
    assert metric.way.thresholds[best] == 0.3
    assert [curve.precision[best], curve.recall[best]] == pytest.approx([0.462136, 0.650273], abs=0.005)
    assert metric.compute()["odsf"] == pytest.approx(0.540295, abs=0.005)
    assert metric.compute()["oisf"] == pytest.approx(0.578065, abs=0.01)


# --- what an update is ------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("mode", ["expected", "exact"])
@pytest.mark.parametrize("annotators", [1, 3])
def test_an_update_is_the_steps_one_after_the_other(make, mode, annotators):
    p, y = sample(0, annotators=annotators)
    metric = fed(make, (p, y), mode=mode)
    pooled, own = np.zeros((4, len(metric.way.thresholds))), np.zeros(4)
    for image, drawn in zip(p, y, strict=True):
        e = np.floor(255 * image[0].numpy()) / 255
        if make is BoundaryNMS:
            e = suppress(e.astype(np.float32))
        truths = [d if make is BoundaryBSDS else thin(contours(d)) for d in drawn.numpy()]
        t = np.array(metric.way.thresholds)
        counts = boundary_counts(levels_of(e, t, strict=make is BoundaryNMS), len(t), truths, 0.05, mode=mode).stack()
        pooled += counts
        f = [2 * a * c / max(a * d + b * c, 1e-9) for a, b, c, d in counts.T]
        own += counts[:, int(np.argmax(np.round(f, 6)))]
    np.testing.assert_allclose(metric.state["pooled"], pooled, rtol=1e-13)
    np.testing.assert_allclose(metric.state["own_best"], own, rtol=1e-13)
    assert int(metric.state["images"]) == 3
    got = metric.compute()
    assert got["oisf"] == pytest.approx(2 / (own[1] / own[0] + own[3] / own[2]))
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.nan_to_num(2 / (pooled[1] / pooled[0] + pooled[3] / pooled[2]))
    if make is BoundaryBSDS:
        assert f.max() - 1e-12 <= got["odsf"] < f.max() + 0.01
    else:
        assert got["odsf"] == pytest.approx(f.max())
    np.testing.assert_allclose(metric.curve()["f"], f, rtol=1e-12)


def test_protocols():
    assert [m.protocol for m in ALL] == ["odsf/png@1", "odsf/nms@1", "odsf/bsds@1"]
    for make in ALL:
        metric = make()
        assert isinstance(metric, BoundaryF)
        assert metric.better == {"odsf": "higher", "oisf": "higher", "ap": "higher"}
        assert (metric.max_dist, metric.mode) == (0.0075, "expected")
        assert {v.dtype for v in metric.state.values()} == {torch.int64, torch.float64}
        assert metric.state["pooled"].shape == (4, 101 if make is BoundaryNMS else 99)
        assert metric.unit("odsf") == "fraction"


def test_readings_of_the_truth():
    """A bold line is two boundaries where its contour is taken, and one where it is thinned."""
    p, y = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    p[..., 20, 5:35] = 0.9
    y[..., 19:22, 5:35] = 1
    true = {t: float(fed(BoundaryPNG, (p, y), truth=t).state["pooled"][1, 0]) for t in ("contour", "thin", "as-is")}
    assert true["as-is"] == 90
    assert 28 <= true["thin"] <= 30
    assert true["contour"] > 60
    assert figures(BoundaryPNG, (p, y), truth="thin", mode="exact")["odsf"] > 0.95
    assert figures(BoundaryPNG, (p, y))["odsf"] < 0.7
    assert figures(BoundaryPNG, (p, y)) == figures(BoundaryPNG, (p, y), truth="contour")
    assert figures(BoundaryBSDS, (p, y)) == figures(BoundaryBSDS, (p, y), truth="as-is")


def test_a_label_map_will_do_for_a_contour():
    p, _ = sample(1, images=1)
    labels = torch.from_numpy(np.kron(RandomState(0).randint(0, 4, (3, 3)), np.ones((8, 10))))[None, None]
    for kind in (torch.float32, torch.int64, torch.uint8):
        got = fed(BoundaryPNG, (p, labels.to(kind)))
        assert float(got.state["pooled"][1, 0]) == thin(contours(labels[0, 0].numpy())).sum()


def test_the_tolerance_is_a_fraction_of_the_diagonal():
    p, y = torch.zeros(2, 1, 1, 60, 80)
    p[..., 20, 10:70] = 1
    y[..., 24, 10:70] = 1  # the diagonal is 100 pixels
    for max_dist, odsf in [(0.041, 1), (0.04, 1), (0.039, 0)]:
        assert figures(BoundaryBSDS, (p, y), max_dist=max_dist, mode="exact")["odsf"] == odsf


def test_several_annotators():
    """A predicted pixel is right if anyone drew it; a true one of every annotator is to be found."""
    p, y = torch.zeros(1, 1, 30, 30), torch.zeros(1, 2, 30, 30)
    p[..., [5, 25], 5:25] = 1
    y[:, 0, 5, 5:25] = 1
    y[:, 1, 25, 5:25] = 1
    metric = fed(BoundaryBSDS, (p, y), max_dist=0.03, mode="exact")
    assert metric.state["pooled"][:, 50].tolist() == [40, 40, 40, 40]
    assert metric.compute()["odsf"] == 1
    y[:, 1] = y[:, 0]
    metric = fed(BoundaryBSDS, (p, y), max_dist=0.03, mode="exact")
    assert metric.state["pooled"][:, 50].tolist() == [40, 40, 20, 40]
    assert metric.compute()["odsf"] == pytest.approx(2 * 1 * 0.5 / 1.5)


# --- eight bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_every_stored_value_comes_back(kind):
    stored = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    seen = []

    class Spy(BoundaryPNG):
        def count(self, stored, truths, known=None):
            seen.append(stored)
            return super().count(stored, truths, known)

    y = (stored % 7 == 0).float()
    fed(Spy, (stored.to(kind) / 255, y))
    fed(Spy, (torch.from_numpy((np.arange(256) / 255).astype(np.float32)).view(1, 1, 16, 16), y))
    fed(Spy, ((stored.to(kind) / 255 + 0.9 / 255).clamp(max=1), y))
    for s in seen:
        assert s.dtype == np.uint8
        np.testing.assert_array_equal(s, stored[0, 0])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_counts_alike(kind):
    p, y = sample(4)
    want = fed(BoundaryPNG, (p.to(kind).float(), y)).state["pooled"]
    assert torch.equal(fed(BoundaryPNG, (p.to(kind), y)).state["pooled"], want)


def test_integer_labels_count_alike():
    p, y = sample(4)
    want = figures(BoundaryPNG, (p, y))
    for kind in (torch.uint8, torch.int64, torch.float64):
        assert figures(BoundaryPNG, (p, y.to(kind))) == want


@pytest.mark.parametrize("truth", ["contour", "thin", "as-is"])
def test_the_layout_in_memory_does_not_matter(truth):
    p, y = sample(5, images=2)
    y = torch.nn.functional.max_pool2d(y, 3, stride=1, padding=1)
    want = figures(BoundaryNMS, (p, y), truth=truth)
    turned = [v.transpose(2, 3).contiguous().transpose(2, 3) for v in (p, y)]
    assert turned[0].stride() != p.stride()
    assert figures(BoundaryNMS, turned, truth=truth) == want


# --- invariants -------------------------------------------------------------------------------------------------------


@every
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), cut=st.integers(0, 4), annotators=st.integers(1, 2))
def test_invariants(make, seed, order, cut, annotators):
    few = partial(make, thresholds=NINE)
    p, y = sample(seed, 4, annotators, size=(12, 16))
    y[torch.from_numpy(RandomState(seed).rand(*y.shape) < 0.03)] = 255
    want = figures(few, (p, y))
    assert all(0 <= v <= 1.01 for v in want.values())
    ignored = (y == 255).any(1, keepdim=True)
    for anything in (0.0, 1.0, -3.0, 7.5, math.nan, math.inf):
        assert figures(few, (torch.where(ignored, anything, p), y)) == want
    assert figures(few, (p, torch.where(ignored, 255, y))) == want  # one annotator's doubt is everyone's
    assert figures(few, *((p[i : i + 1], y[i : i + 1]) for i in order)) == pytest.approx(want, rel=1e-12)
    one, two = (fed(few, (p[rows], y[rows])) for rows in (order[:cut], order[cut:]))
    whole = one.merge(two)
    assert whole.gather() is whole
    assert whole.compute() == pytest.approx(want, rel=1e-12)
    assert int(whole.state["images"]) == 4


@every
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), mode=st.sampled_from(["expected", "exact"]))
def test_figures_and_curve(make, seed, mode):
    metric = fed(make, sample(seed), mode=mode, thresholds=NINE)
    got, curve = metric.compute(), metric.curve()
    assert list(curve) == ["thresholds", "precision", "recall", "f"]
    assert curve["thresholds"] == NINE
    assert all(0 <= v <= 1 for name in ("precision", "recall", "f") for v in curve[name])
    assert {len(v) for v in curve.values()} == {9}
    assert got["odsf"] >= max(curve["f"]) > 0
    assert (got["odsf"] == max(curve["f"])) or make is BoundaryBSDS
    exact = figures(make, sample(seed), mode="exact", thresholds=NINE)
    assert got["odsf"] <= exact["odsf"] <= got["odsf"] + 0.0025


def test_interpolation_and_conventions_are_all_that_tells_bsds_from_png():
    batch = sample(6)
    for name, value in fed(BoundaryPNG, batch, truth="as-is").state.items():
        assert torch.equal(value, fed(BoundaryBSDS, batch).state[name])
    counts = Counts(*np.array([[90.0, 40, 0], [100, 100, 100], [90, 40, 0], [300, 40, 0]]))
    png, bsds = (built(make, thresholds=[0.2, 0.5, 0.8]) for make in (BoundaryPNG, BoundaryBSDS))
    for metric in (png, bsds):
        metric.add(counts)
    png, bsds = png.compute(), bsds.compute()
    assert png["odsf"] == pytest.approx(2 * 1 * 0.4 / 1.4)
    assert bsds["odsf"] > png["odsf"] + 0.02
    assert png["oisf"] == bsds["oisf"] == png["odsf"]
    assert png["ap"] > bsds["ap"] > 0


def test_threads_do_not_matter():
    batch = sample(7, annotators=2)
    want = fed(BoundaryNMS, batch).state
    for threads in (2, 5, None):
        for name, value in fed(BoundaryNMS, batch, threads=threads).state.items():
            assert torch.equal(value, want[name])


@every
def test_a_perfect_map_scores_one(make):
    """But for what the public matcher loses by chance, and what the border takes from a suppressed map."""
    _, y = sample(8, size=(48, 60))
    y[:, :, :8] = y[:, :, -8:] = y[..., :8] = y[..., -8:] = 0
    lines = torch.from_numpy(np.stack([thin(contours(v[0])) for v in y.numpy()]))[:, None].float()
    truth = "as-is" if make is BoundaryBSDS else None
    target = lines if make is BoundaryBSDS else y
    exact = figures(make, (lines, target), mode="exact", truth=truth)
    usual = figures(make, (lines, target), truth=truth)
    if make is not BoundaryNMS:
        assert exact["odsf"] == exact["oisf"] == 1
    assert exact["odsf"] > 0.95
    assert 0 < exact["odsf"] - usual["odsf"] < 0.0026
    assert figures(make, (1 - lines, target), max_dist=0.01, truth=truth)["odsf"] < exact["odsf"]


# --- edges of the protocols -------------------------------------------------------------------------------------------


@every
def test_empty_maps(make):
    p, y = sample(9)
    nothing = torch.zeros_like(p)
    for batch in [(nothing, y), (p, nothing), (nothing, nothing)]:
        got = figures(make, batch)
        assert (got["odsf"], got["oisf"]) == (0, 0)
        assert got["ap"] == pytest.approx(0.01 if batch[1] is y and make is not BoundaryBSDS else 0)
    # an image without boundaries counts what is predicted there
    both = fed(make, (p, y), (p, nothing))
    one = fed(make, (p, y))
    assert torch.equal(both.state["pooled"][:3], one.state["pooled"][:3])
    assert (both.state["pooled"][3] >= one.state["pooled"][3]).all()
    assert both.compute()["odsf"] < one.compute()["odsf"]
    assert int(both.state["images"]) == 6


@every
def test_an_ignored_image_counts_for_nothing(make):
    p, y = sample(10)
    want = figures(make, (p, y))
    assert figures(make, (p, y), (p, torch.full_like(y, 255))) == want
    mixed = y.clone()
    mixed[1] = 255
    assert int(fed(make, (p, mixed)).state["images"]) == 2
    for empty in (fed(make), fed(make, (p, torch.full_like(y, 255)))):
        assert all(math.isnan(v) for v in empty.compute().values())
        assert set(empty.compute()) == {"odsf", "oisf", "ap"}


@every
def test_a_nan_prediction_breaks_the_figures(make):
    p, y = sample(11)
    p[1, 0, 3, 4] = math.nan
    metric = fed(make, (p, y), sample(12))
    assert all(math.isnan(v) for v in metric.compute().values())
    assert int(metric.state["non_finite"]) == 1
    assert all(math.isnan(v) for v in fed(make, sample(12)).merge(metric).compute().values())
    y[1, 0, 3, 4] = 255
    assert not math.isnan(fed(make, (p, y)).compute()["odsf"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 9), (3, 3)])
@every
def test_tiny_images(make, shape):
    rs = RandomState(0)
    p, y = (torch.from_numpy(rs.rand(2, 1, *shape)) for _ in range(2))
    if make is BoundaryNMS and 1 in shape:  # nothing to differentiate
        with pytest.raises(SpecError, match=r"no suppression on a map of \d+x\d+ pixels"):
            figures(make, (p, (y < 0.4).float()), thresholds=NINE, max_dist=0.5)
        return
    got = figures(make, (p, (y < 0.4).float()), thresholds=NINE, max_dist=0.5)
    assert all(0 <= v <= 1.01 for v in got.values())


@every
def test_bad_input(make):
    p, y = sample(13)
    metric = built(make)
    for value in (1.5, -0.25, math.inf, -math.inf):
        logits = p.clone()
        logits[0, 0, 0, 0] = value
        with pytest.raises(SpecError, match=r"edges: prediction is not in \[0, 1\]\. Pass probabilities, not logits"):
            metric.update(logits, y)
    for prediction, target in [
        (p[:, 0], y),
        (p[:2], y),
        (p, y[:, 0]),
        (p[..., :-1], y),
        (p.transpose(2, 3), y),
        (p.repeat(1, 2, 1, 1), y.repeat(1, 2, 1, 1)),
    ]:
        with pytest.raises(SpecError, match=r"edges: prediction \(.*do not fit.*\(B, annotators, H, W\)"):
            metric.update(prediction, target)
    with pytest.raises(DataError, match="edges: label holds NaN or infinity"):
        metric.update(p, torch.where(y == 1, math.nan, y))
    assert int(metric.state["images"]) == 0
    assert not metric.state["pooled"].any()
    with pytest.raises(SpecError, match="boundaries: prediction is 24x30, truth 30x24"):
        metric.count(np.zeros((24, 30), np.uint8), [np.zeros((30, 24))])


@every
def test_bad_options(make):
    with pytest.raises(SpecError, match=r"mode: unknown mode 'exect'\. Did you mean 'exact'"):
        make(mode="exect")
    with pytest.raises(SpecError, match=r"truth: unknown reading of the truth 'thinn'\. Did you mean 'thin'"):
        make(truth="thinn")
    for max_dist in (0, 1, -0.1, 8.8, math.nan):
        with pytest.raises(SpecError, match=r"max_dist: .*fraction of the diagonal"):
            make(max_dist=max_dist)
    for thresholds in ([], [0.5, 0.4], [0.5, 0.5], [0, 0.5], [0.5, 1]):
        with pytest.raises(SpecError, match=r"thresholds: .*do not ascend"):
            make(thresholds=thresholds)


def test_bad_merges():
    with pytest.raises(SpecError, match="cannot merge odsf/nms@1 into odsf/png@1"):
        BoundaryPNG().merge(BoundaryNMS())
    with pytest.raises(SpecError, match="cannot merge"):
        BoundaryPNG().merge(BoundaryPNG(thresholds=NINE))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
def test_cuda_agrees_with_cpu(make):
    p, y = sample(14)
    assert figures(make, (p.cuda(), y.cuda())) == figures(make, (p, y))


def test_accumulators_built_otherwise_are_not_merged():
    for changes in (
        {"max_dist": 0.02},
        {"mode": "exact"},
        {"truth": "thin"},
        {"thresholds": [k / 200 for k in range(1, 100)]},
    ):
        with pytest.raises(SpecError, match="cannot merge counts made with"):
            BoundaryPNG(0.01).merge(BoundaryPNG(**{"max_dist": 0.01, **changes}))
    with pytest.raises(SpecError, match="cannot merge odsf/nms@1 into odsf/png@1"):
        BoundaryPNG(0.01).merge(BoundaryNMS(0.01))


def test_there_is_no_curve_where_there_is_no_figure():
    metric = BoundaryPNG()
    assert metric.curve() == {}
    metric.update(torch.full((1, 1, 8, 8), math.nan), torch.ones(1, 1, 8, 8))
    assert metric.curve() == {}
