import math
from functools import cache

import numpy as np
import pytest
from boundary_maps import diagonal, joined, lines, loss, matched, scattered, soft, tables, warped
from boundary_vectors import BUILD, VECTORS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching, maximum_flow

from mtlrepro.metrics.boundary.matching import LINKS, expected_loss, match_all, offsets
from mtlrepro.metrics.boundary.thinning import thin

seeds = st.integers(0, 10**6)
shares = st.sampled_from([0.02, 0.1, 0.3, 0.6])
reaches = st.sampled_from([0.03, 0.06, 0.08, 0.12, 0.25])


# --- oracles ----------------------------------------------------------------------------------------------------------


def flow(near):
    """Pairs of a maximum matching, as a maximum flow."""
    n, m = near.shape
    edges = np.zeros((n + m + 2, n + m + 2), np.int32)
    edges[0, 1 : n + 1] = 1
    edges[1 : n + 1, n + 1 : n + m + 1] = near
    edges[n + 1 : n + m + 1, -1] = 1
    return int(maximum_flow(csr_matrix(edges), 0, n + m + 1, method="dinic").flow_value)


def every_way(near):
    """Pairs of a maximum matching: the best of all choices."""

    @cache
    def best(row, used):
        if row == len(near):
            return 0
        takes = [1 + best(row + 1, used | 1 << j) for j in np.flatnonzero(near[row]) if not used >> int(j) & 1]
        return max([best(row + 1, used), *takes])

    return best(0, 0)


def reachable_by_search(near):
    """How many of the smaller side alternating paths join to an unmatched one, in some other maximum matching."""
    near = near[near.any(1)][:, near.any(0)]
    if near.shape[1] <= near.shape[0]:
        near = near.T
    mate = maximum_bipartite_matching(csr_matrix(near), perm_type="column")
    owner = {int(j): i for i, j in enumerate(mate) if j >= 0}
    front = [i for i, j in enumerate(mate) if j < 0]
    seen = set(front)
    while front:
        i = front.pop()
        for j in np.flatnonzero(near[i]).tolist():
            if owner[j] not in seen:
                seen.add(owner[j])
                front.append(owner[j])
    return len(seen)


def check(p, g, max_dist):
    _, near = joined(p, g, max_dist * diagonal(p))
    pairs, n1, n2, reachable = matched(p, g, max_dist)
    assert pairs == flow(near)
    assert (n1, n2) == (near.any(1).sum(), near.any(0).sum())
    assert reachable == reachable_by_search(near)


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(1, 12), st.integers(1, 15), shares, shares, reaches)
def test_against_maximum_flow_and_search(seed, height, width, predicted, true, max_dist):
    check(*scattered(seed, height, width, predicted, true), max_dist)


@pytest.mark.parametrize("seed", range(6))
def test_against_maximum_flow_and_search_on_lines(seed):
    values, g = warped(seed, 48, 64)
    for level in (40, 90, 150, 220):
        check(thin(values >= level), g, 0.02 + 0.005 * seed)


@settings(deadline=None, max_examples=40)
@given(seeds, st.sampled_from([0.15, 0.3, 0.45]))
def test_against_every_choice_on_tiny_maps(seed, max_dist):
    p, g = scattered(seed, 5, 5, 0.3, 0.3)
    _, near = joined(p, g, max_dist * diagonal(p))
    assert matched(p, g, max_dist)[0] == every_way(near)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 9), st.integers(1, 9), shares, st.floats(0.001, 1))
def test_candidates_are_all_within_reach_the_nearest_first(seed, height, width, share, max_dist):
    p, g = scattered(seed, height, width, share, 0.4)
    squared, near = joined(p, g, max_dist * diagonal(p))
    start, found, pixels, _ = tables(p, g, max_dist)
    assert len(start) == p.size + 1
    assert start[-1] == len(found) == near.sum()
    for i, pixel in enumerate(pixels):
        mine = found[start[pixel] : start[pixel + 1]]
        assert set(mine.tolist()) == set(np.flatnonzero(near[i]).tolist())
        assert (np.diff(squared[i, mine]) >= 0).all()


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reach", "count"), [(6.0, 113), (8.8, 241), (7.733, 185), (4.6875, 69)])
def test_number_of_offsets(reach, count):
    steps = offsets(reach)
    length = np.hypot(*steps.T)
    assert len(steps) == count == len({tuple(s) for s in steps.tolist()})
    assert steps[0].tolist() == [0, 0]
    assert (np.diff(length) >= 0).all()
    assert length.max() <= reach
    assert {(-y, -x) for y, x in steps.tolist()} == {(y, x) for y, x in steps.tolist()}


@pytest.mark.parametrize(
    ("name", "max_dist", "sizes", "counts", "share", "lost", "official", "within"), VECTORS, ids=[v[0] for v in VECTORS]
)
def test_vector_b4(name, max_dist, sizes, counts, share, lost, official, within):
    p, g = BUILD[name]()
    assert (p.sum(), g.sum()) == sizes
    row = matched(p, g, max_dist)
    assert row[:3] == counts
    assert row[3] / max(min(counts[1:]), 1) == pytest.approx(share, abs=5e-5)
    assert loss(row) == pytest.approx(lost, abs=5e-4)
    assert row[0] - loss(row) == pytest.approx(official, abs=within)


# --- what the public matcher loses ------------------------------------------------------------------------------------


def test_expected_loss():
    for small, large, reachable in [(7, 7, 0), (300, 310, 12), (300, 310, 300), (5000, 9000, 100), (6776, 6776, 0)]:
        want = small * math.exp(large * math.log(1 - 6 / small) - 6 * reachable / small)
        assert expected_loss(small, large, reachable) == pytest.approx(want, rel=1e-12)
    assert [expected_loss(n, 10 * n, 0) for n in range(LINKS + 1)] == [0.0] * 7
    most = [expected_loss(n, n, 0) / n for n in (10, 100, 1000, 10**6)]
    assert most == sorted(most)
    assert most[-1] == pytest.approx(math.exp(-6), rel=1e-4) == pytest.approx(0.0025, abs=3e-5)
    assert expected_loss(300, 310, 12) < expected_loss(300, 310, 0) < expected_loss(300, 305, 0)


# --- all thresholds together ------------------------------------------------------------------------------------------


def test_where_the_search_starts_does_not_matter():
    """Predictions that grow, shrink or have nothing to do with each other give what each gives alone."""
    values, g = warped(1)
    rs = RandomState(0)
    grown = [thin(values >= level) for level in range(220, 20, -20)]
    other = [rs.rand(*g.shape) < share for share in (0.3, 0.02, 0.0, 0.1)]
    for maps in (grown, grown[::-1], other, [grown[0], other[0], grown[-1], grown[-1], other[2], grown[5]]):
        start, found, _, truth = tables(maps[0], g, 0.03, wanted=np.any(maps, axis=0))
        pixels = np.concatenate([np.flatnonzero(m) for m in maps]).astype(np.int32)
        bounds = np.cumsum([0, *(m.sum() for m in maps)])
        got = match_all(pixels, bounds, g.size, start, found, len(truth))
        assert [tuple(row) for row in got.tolist()] == [matched(m, g, 0.03) for m in maps]


# --- invariants -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(seeds, shares, shares, reaches, reaches)
def test_pairs_are_bounded_and_grow_with_the_tolerance(seed, predicted, true, one, other):
    p, g = scattered(seed, 12, 15, predicted, true)
    near, far = (matched(p, g, d) for d in sorted((one, other)))
    for pairs, n1, n2, reachable in (near, far):
        assert 0 <= pairs <= min(n1, n2)
        assert n1 <= p.sum()
        assert n2 <= g.sum()
        assert 0 <= reachable <= min(n1, n2)
        assert (reachable == 0) == (pairs == min(n1, n2))
        assert min(n1, n2) - pairs <= reachable
        assert 0 <= expected_loss(min(n1, n2), max(n1, n2), reachable) <= math.exp(-6) * min(n1, n2)
    assert all(a <= b for a, b in zip(near[:3], far[:3], strict=True))


@settings(deadline=None, max_examples=60)
@given(seeds, shares, shares, reaches)
def test_prediction_and_truth_may_be_swapped_turned_and_flipped(seed, predicted, true, max_dist):
    p, g = scattered(seed, 12, 15, predicted, true)
    row = matched(p, g, max_dist)
    pairs, n1, n2, _ = matched(g, p, max_dist)
    assert (pairs, n2, n1) == row[:3]
    if n1 != n2:
        assert matched(g, p, max_dist)[3] == row[3]
    for turn in (np.fliplr, np.flipud, np.transpose, np.rot90, lambda a: np.rot90(a, 2)):
        assert matched(turn(p), turn(g), max_dist) == row


def test_thin_lines_may_be_turned_and_flipped():
    p, g = thin(soft(20) > 5), lines(1)
    row = matched(p, g, 0.03)
    for turn in (np.fliplr, np.flipud, np.transpose, np.rot90):
        assert matched(turn(p), turn(g), 0.03) == row


@settings(deadline=None, max_examples=30)
@given(seeds, shares)
def test_without_tolerance_pixels_match_themselves(seed, share):
    p, g = scattered(seed, 9, 9, share, 0.4)
    both = int((p & g).sum())
    assert matched(p, g, 1e-9) == (both, both, both, 0)
