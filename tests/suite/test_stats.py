"""The statistics of verdicts: worked numbers, oracles from scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.suite import stats

floats = st.floats(-1e6, 1e6)
groups = st.lists(st.lists(floats, min_size=1, max_size=4), max_size=5)
p_values = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1), max_size=8)


@pytest.mark.parametrize(
    ("n", "m1", "m3", "m5"),
    [(2, 15.56, 11.60, 10.63), (3, 4.968, 3.513, 3.142), (5, 3.041, 2.028, 1.756), (10, 2.373, 1.489, 1.239)],
)
def test_k_by_seeds_and_runs_behind_the_print(n: int, m1: float, m3: float, m5: float) -> None:
    # k = t(0.975, n - 1) sqrt(1/n + 1/m), s from the row's own seeds
    for m, k in ((1, m1), (3, m3), (5, m5)):
        assert stats.half_width(1.0, n - 1, n, m) == pytest.approx(k, rel=1e-3)


def test_pooling_ten_rows_of_three_seeds_halves_the_band() -> None:
    assert stats.half_width(1.0, 20, 3, 1) == pytest.approx(2.41, abs=0.005)


def test_the_spread_densemtl_prints_gives_its_worked_bands() -> None:
    # 13 rows of 3 runs: df 26, s 0.325 points of mIoU
    assert stats.half_width(0.325, 26, 3, 3) == pytest.approx(0.55, abs=0.005)
    assert stats.half_width(0.325, 26, 1, 3) == pytest.approx(0.77, abs=0.005)


@given(st.lists(floats, min_size=2, max_size=9))
def test_mean_and_s_agree_with_numpy(values: list[float]) -> None:
    mean, s = stats.mean_and_s(values)
    assert mean == pytest.approx(float(np.mean(values)), rel=1e-9, abs=1e-6)
    assert s == pytest.approx(float(np.std(values, ddof=1)), rel=1e-6, abs=1e-6)


def test_one_value_has_no_deviation() -> None:
    assert stats.mean_and_s([3.0]) == (3.0, None)


@given(groups)
def test_pooled_is_the_root_of_the_weighted_mean_variance(values: list[list[float]]) -> None:
    pool = stats.pooled(values)
    repeated = [g for g in values if len(g) > 1]
    if not repeated:
        assert pool is None
        return
    assert pool is not None
    df = sum(len(g) - 1 for g in repeated)
    variance = sum((len(g) - 1) * np.var(g, ddof=1) for g in repeated) / df
    assert pool == (pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-6), df)


def test_pooled_leaves_out_runs_that_diverged() -> None:
    assert stats.pooled([[1.0, 3.0], [5.0, math.nan], [math.inf, 2.0]]) == (pytest.approx(math.sqrt(2)), 1)
    assert stats.pooled([[math.nan, 1.0]]) is None


@given(floats, st.floats(1e-3, 1e3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
def test_p_is_below_alpha_exactly_outside_the_band(gap: float, s: float, df: int, n: int, m: int) -> None:
    band = stats.half_width(s, df, n, m, 0.05)
    if not math.isclose(abs(gap), band, rel_tol=1e-9):
        assert (stats.p_value(gap, s, df, n, m) < 0.05) == (abs(gap) > band)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 2), (2, 7)])
def test_p_agrees_with_the_two_sample_t_test(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    ours, theirs = random.normal(0, 1, n), random.normal(0.5, 1, m)
    s, df = stats.pooled([list(ours), list(theirs)]) or (0.0, 0)
    p = stats.p_value(float(ours.mean() - theirs.mean()), s, df, n, m)
    assert p == pytest.approx(float(scipy.stats.ttest_ind(ours, theirs).pvalue), rel=1e-9)


def test_no_spread_at_all_rejects_every_difference() -> None:
    assert stats.p_value(0.0, 0.0, 4, 3, 1) == 1.0
    assert stats.p_value(1e-9, 0.0, 4, 3, 1) == 0.0


@given(p_values)
@settings(max_examples=200)
def test_holm_lies_between_bonferroni_and_no_adjustment(values: dict[str, float]) -> None:
    rejected = stats.holm(values)
    assert rejected.keys() == values.keys()
    for name, p in values.items():
        if p <= 0.05 / len(values):
            assert rejected[name]
        if rejected[name]:
            assert p <= 0.05
    largest = max((p for name, p in values.items() if rejected[name]), default=-1.0)
    assert all(rejected[name] for name, p in values.items() if p < largest)


def test_holm_worked_example() -> None:
    # alpha/4 = 0.0125, alpha/3 = 0.0167, alpha/2 = 0.025: the third smallest stops it, and the fourth with it
    p = {"a": 0.010, "b": 0.013, "c": 0.030, "d": 0.040}
    assert stats.holm(p) == {"a": True, "b": True, "c": False, "d": False}


@pytest.mark.parametrize(("rows", "n", "m"), [(1, 3, 1), (5, 3, 1), (5, 2, 3), (10, 5, 5)])
def test_false_alarm_rate_of_the_band_is_alpha(rows: int, n: int, m: int) -> None:
    random = np.random.default_rng(rows * 100 + n * 10 + m)
    tables = 4000
    ours = random.normal(size=(tables, rows, n))
    theirs = random.normal(size=(tables, rows, m)).mean(axis=2)
    s = np.sqrt(ours.var(axis=2, ddof=1).mean(axis=1))  # equal groups: the pooled variance is their mean
    band = stats.half_width(1.0, rows * (n - 1), n, m) * s
    outside = np.abs(ours.mean(axis=2) - theirs) > band[:, None]
    assert outside.mean() == pytest.approx(0.05, abs=0.01)
