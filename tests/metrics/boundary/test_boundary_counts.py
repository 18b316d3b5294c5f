from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from boundary_maps import diagonal, lines, loss, matched, scattered, soft, tables, warped
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.errors import SpecError
from mtlrepro.metrics.boundary.assignment import least_cost_matching
from mtlrepro.metrics.boundary.counts import MODES, boundary_counts, levels_of
from mtlrepro.metrics.boundary.thinning import thin

seeds = st.integers(0, 10**6)
modes = pytest.mark.parametrize("mode", MODES)


def levels(seed, height=24, width=30, thresholds=6):
    """A soft map cut into levels 0 ... thresholds."""
    s = soft(seed, height, width)
    return ((s - s.min()) / np.ptp(s) * (thresholds + 0.999)).astype(int)


def one_by_one(levels, thresholds, truths, max_dist, mode):
    """(4, K): every threshold and annotator by itself. Ties of several annotators go by the order of the pixels."""
    out = np.zeros((4, thresholds))
    for k in range(thresholds):
        p = thin(levels > k)
        partnered = np.zeros(p.sum(), bool)
        for n, g in enumerate(truths):
            row = matched(p, g, max_dist)
            start, found, pixels, truth = tables(p, g, max_dist)
            reach = max_dist * diagonal(p)
            partnered |= least_cost_matching(start, found, pixels, truth, p.shape[1], reach, n)
            out[:2, k] += row[0] - (loss(row) if mode == "expected" else 0), g.sum()
        out[2, k] = partnered.sum() if len(truths) > 1 else out[0, k]
        out[3, k] = p.sum()
    return out


@modes
@settings(deadline=None, max_examples=12)
@given(seeds, st.integers(1, 3), st.integers(1, 8), st.sampled_from([0.02, 0.05, 0.1]))
def test_all_thresholds_together_are_each_alone(mode, seed, annotators, thresholds, max_dist):
    cut = levels(seed, thresholds=thresholds)
    truths = [thin(soft(seed + n + 1, *cut.shape) > 5) for n in range(annotators)]
    got = boundary_counts(cut, thresholds, truths, max_dist, mode=mode).stack()
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, one_by_one(cut, thresholds, truths, max_dist, mode))


@modes
@pytest.mark.parametrize("annotators", [1, 2])
def test_parts_and_threads_do_not_matter(mode, annotators):
    values, g = warped(2)
    truths = [g, np.roll(g, (1, 2), (0, 1))][:annotators]
    cut = levels_of(values / 255, np.arange(1, 20) / 20, strict=False)
    want = boundary_counts(cut, 19, truths, 0.02, mode=mode).stack()
    assert want[3].any()
    for threads, parts in [(1, 2), (2, 2), (3, 5), (2, 19), (4, 100)]:
        with ThreadPoolExecutor(threads) as pool:
            got = boundary_counts(cut, 19, truths, 0.02, mode=mode, pool=pool, parts=parts).stack()
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(boundary_counts(cut, 19, truths, 0.02, mode=mode, parts=7).stack(), want)


@pytest.mark.parametrize(
    ("of", "max_dist", "lost"), [(1, 0.03, 0.777), (2, 0.03, 0.712), (1, 0.0001, None), (1, 0.9, 0.777)]
)
def test_identical_maps_lose_at_most_a_quarter_percent(of, max_dist, lost):
    g = lines(of)
    exact = boundary_counts(g.astype(int), 1, [g], max_dist, mode="exact")
    usual = boundary_counts(g.astype(int), 1, [g], max_dist)
    assert exact.stack().tolist() == [[g.sum()]] * 4
    gap = exact.matched - usual.matched
    assert 0 < gap[0] <= 0.0025 * g.sum()
    assert gap == pytest.approx([lost], abs=5e-4) or lost is None


@pytest.mark.parametrize(("prediction", "truth"), [(0, 1), (1, 0), (0, 0)], ids=["B4j", "B4k", "B4l"])
@modes
def test_vectors_with_an_empty_map(prediction, truth, mode):
    g = lines(1)
    got = boundary_counts(g * prediction, 1, [g * truth], 0.03, mode=mode)
    assert got.stack()[:, 0].tolist() == [0, 331 * truth, 0, 331 * prediction]


@modes
@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 3), st.lists(st.sampled_from([0.01, 0.03, 0.06, 0.12, 0.3]), min_size=2, max_size=2))
def test_bounds_and_tolerance(mode, seed, annotators, tolerances):
    cut = levels(seed, 12, 15, 4)
    truths = [scattered(seed + n, 12, 15)[1] for n in range(annotators)]
    near, far = (boundary_counts(cut, 4, truths, t, mode=mode) for t in sorted(tolerances))
    for counts in (near, far):
        assert (counts.matched_truth >= 0).all()
        assert (counts.matched_truth <= counts.truth).all()
        assert (counts.matched_truth <= annotators * counts.predicted).all()
        assert (counts.matched <= counts.predicted).all()
        assert (counts.matched <= counts.matched_truth + annotators).all()  # a loss is taken from the truth's alone
        assert counts.truth.tolist() == [sum(g.sum() for g in truths)] * 4
    if mode == "exact":
        assert (near.matched_truth <= far.matched_truth).all()
        assert (near.matched <= near.matched_truth).all()


def test_losses_differ_between_the_modes_alone():
    cut = levels(5, 40, 56)
    g = lines(1)
    exact, usual = (boundary_counts(cut, 6, [g], 0.03, mode=m).stack() for m in ("exact", "expected"))
    np.testing.assert_array_equal(exact[[1, 3]], usual[[1, 3]])
    np.testing.assert_array_equal(exact, exact.round())
    assert (exact[0] > usual[0]).any()
    assert ((exact[0] - usual[0]) <= 0.0025 * exact[0]).all()


def test_any_nonzero_truth_and_any_layout_counts():
    cut, g = levels(1, 40, 56), lines(1)
    want = boundary_counts(cut, 6, [g], 0.03).stack()
    for other in (g.astype(np.float32), g * 255, np.asfortranarray(g)):
        np.testing.assert_array_equal(boundary_counts(cut, 6, [other], 0.03).stack(), want)
    for same in (cut.astype(np.uint8), np.asfortranarray(cut), cut.astype(np.int64)):
        np.testing.assert_array_equal(boundary_counts(same, 6, [g], 0.03).stack(), want)


@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (12, 1), (2, 2), (3, 40)])
@modes
def test_tiny_images(shape, mode):
    rs = RandomState(3)
    cut, g = rs.randint(0, 4, shape), rs.rand(*shape) < 0.5
    for max_dist in (0.01, 0.3, 0.99):
        got = boundary_counts(cut, 3, [g, ~g], max_dist, mode=mode).stack()
        np.testing.assert_array_equal(got, one_by_one(cut, 3, [g, ~g], max_dist, mode))


def test_a_truth_of_another_size():
    cut = np.zeros((40, 56), int)
    with pytest.raises(SpecError, match=r"boundaries: prediction is 40x56, truth 56x40\. Evaluate at the size"):
        boundary_counts(cut, 1, [np.zeros((56, 40))], 0.03)
    with pytest.raises(SpecError, match="truth 20x56"):
        boundary_counts(cut, 1, [np.zeros((40, 56)), np.zeros((20, 56))], 0.03)


# --- thresholds -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(seeds, st.booleans())
def test_levels_count_the_thresholds_below(seed, strict):
    rs = RandomState(seed)
    thresholds = np.unique(rs.randint(1, 20, 5)) / 20
    values = rs.randint(0, 21, (4, 5)) / 20
    want = [[sum(v > t if strict else v >= t for t in thresholds) for v in row] for row in values]
    got = levels_of(values, thresholds, strict=strict)
    assert got.tolist() == want
    assert got.dtype == np.int32


@pytest.mark.parametrize("stored", [51, 102, 153, 204])
def test_levels_that_tie_with_a_threshold(stored):
    """In float64 v / 255 is the threshold; the nearest float32 lies above it."""
    t = np.array([stored / 51 / 5])
    exact = np.array([[stored / 255]])
    single = exact.astype(np.float32)
    assert exact == t < single.astype(float)
    cut = [levels_of(v, t, strict=s).item() for v in (exact, single) for s in (False, True)]
    assert cut == [1, 0, 1, 1]


@pytest.mark.parametrize("wrong", [-1, 4, 1000])
def test_levels_out_of_range_are_refused_before_compiled_code_sees_them(wrong):
    cut = np.zeros((9, 9), dtype=np.int32)
    cut[4, 4] = wrong
    with pytest.raises(SpecError, match=r"levels: levels from -?\d+ to \d+ of 3 thresholds"):
        boundary_counts(cut, 3, [cut > 0], 0.1)


def test_an_unknown_mode_is_refused():
    with pytest.raises(SpecError, match=r"unknown mode 'exakt'\. Did you mean 'exact'"):
        boundary_counts(np.zeros((9, 9), np.int32), 1, [np.ones((9, 9))], 0.1, mode="exakt")
