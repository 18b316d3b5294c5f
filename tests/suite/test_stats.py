"""The statistics of verdicts: worked numbers, oracles from scipy and simulation."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from suite_fakes import ROOT

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


# --- power ------------------------------------------------------------------------------------------------------------

SHIFT, SEEDS = 2.0, 3
POWER = {  # runs behind the print, rows pooled, printed deviations pooled too -> share outside the band
    (1, 1, False): 0.18,
    (1, 5, False): 0.35,
    (1, 11, False): 0.38,
    (3, 1, False): 0.29,
    (3, 5, False): 0.60,
    (3, 11, False): 0.65,
    (3, 1, True): 0.46,
    (3, 5, True): 0.645,
    (3, 11, True): 0.67,
}


@pytest.mark.parametrize(("m", "rows", "printed"), POWER)
def test_power_to_see_a_shift_of_two_deviations(m: int, rows: int, printed: bool) -> None:
    """What the bands see with three seeds; the documentation quotes these figures."""
    random = np.random.default_rng(100 * m + rows)
    tables = 20_000
    ours, theirs = random.normal(size=(tables, rows, SEEDS)), random.normal(size=(tables, rows, m))
    ours[:, 0] -= SHIFT
    variance, df = ours.var(axis=2, ddof=1).mean(axis=1), rows * (SEEDS - 1)
    if printed:
        more = rows * (m - 1)
        variance, df = (variance * df + theirs.var(axis=2, ddof=1).mean(axis=1) * more) / (df + more), df + more
    band = stats.half_width(1.0, df, SEEDS, m) * np.sqrt(variance)
    outside = float((np.abs(ours[:, 0].mean(axis=1) - theirs[:, 0].mean(axis=1)) > band).mean())
    assert outside == pytest.approx(POWER[m, rows, printed], abs=0.015)
    assert outside == pytest.approx(stats.power(SHIFT, df, SEEDS, m), abs=0.01)


def test_printed_deviations_add_power() -> None:
    """Three runs behind the print, one seed of ours: without printed deviations there is no band at all."""
    random = np.random.default_rng(9)
    tables, rows, m = 4000, 5, 3
    theirs = random.normal(size=(tables, rows, m))
    ours = random.normal(size=(tables, rows))
    pools = [
        stats.combine([None, (float(s), rows * (m - 1))]) for s in np.sqrt(theirs.var(axis=2, ddof=1).mean(axis=1))
    ]
    band = np.array([stats.half_width(1.0, p[1], 1, m) * p[0] for p in pools if p])
    gap = ours - theirs.mean(axis=2)
    assert (np.abs(gap) > band[:, None]).mean() == pytest.approx(0.05, abs=0.01)
    assert (np.abs(gap - 4) > band[:, None]).mean() > 0.8


# --- combining estimates ----------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=4), min_size=1, max_size=6), st.integers(0, 6))
def test_combining_two_pools_is_pooling_at_once(values: list[list[float]], cut: int) -> None:
    parts = [stats.pooled(values[:cut]), stats.pooled(values[cut:])]
    whole, combined = stats.pooled(values), stats.combine(parts)
    assert whole is not None
    assert combined == (pytest.approx(whole[0], rel=1e-9, abs=1e-9), whole[1])


def test_nothing_known_combines_to_nothing() -> None:
    assert stats.combine([]) is None
    assert stats.combine([None, None]) is None
    assert stats.combine([(1.0, 0)]) is None
    assert stats.combine([None, (2.0, 3)]) == (2.0, 3)


# --- paired tests -----------------------------------------------------------------------------------------------------


def p_of(differences: list[float], spread: tuple[float, int] | None = None) -> float:
    found = stats.paired_p(differences, spread)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_seeds_are_student_s_paired_t(n: int) -> None:
    random = np.random.default_rng(n)
    for shift in (-1.0, 0.0, 1.0):
        ours, theirs = random.normal(shift, 1, n), random.normal(0, 1, n)
        oracle = scipy.stats.ttest_rel(ours, theirs, alternative="greater").pvalue
        assert stats.paired_p(list(ours - theirs)) == (pytest.approx(float(oracle), rel=1e-9), "t test, paired by seed")


@given(st.lists(st.integers(-20, 20), min_size=6, max_size=9))
@settings(max_examples=60, deadline=None)
def test_six_seeds_and_more_are_every_flip_of_every_sign(values: list[int]) -> None:
    """Whole numbers, so that ties are ties."""
    sums = [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    reached = sum(total >= sum(values) for total in sums)
    assert stats.paired_p(values) == (reached / len(sums), "exact sign-flip test, paired by seed")


@pytest.mark.parametrize("n", [6, 8, 10])
def test_the_sign_flips_agree_with_scipy_s_permutation_test(n: int) -> None:
    random = np.random.default_rng(n)
    ours, theirs = random.normal(0.4, 1, n), random.normal(0, 1, n)

    def statistic(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray((a - b).mean(axis=axis))

    oracle = scipy.stats.permutation_test(
        (ours, theirs),
        statistic,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert p_of(list(ours - theirs)) == pytest.approx(float(oracle.pvalue), abs=1e-12)


def test_beyond_sixteen_seeds_flips_are_drawn_and_repeat_themselves() -> None:
    values = list(np.random.default_rng(2).normal(0.3, 1, 24))
    found = stats.paired_p(values)
    assert found == stats.paired_p(values)
    assert found is not None
    assert found[1] == "sign-flip test, paired by seed"
    assert found[0] == pytest.approx(float(scipy.stats.ttest_1samp(values, 0, alternative="greater").pvalue), abs=0.01)
    assert 0 < p_of([1.0] * 40) < 1e-4  # never nought from draws


@pytest.mark.parametrize("n", [2, 3, 5, 6, 9])
@pytest.mark.parametrize("draw", ["normal", "laplace"])
def test_equal_rows_are_told_apart_in_one_case_of_twenty(n: int, draw: str) -> None:
    """The exact test needs no normal differences; Student's is for few seeds, where nothing else can decide."""
    random = np.random.default_rng(n)
    cases = 3000
    values = getattr(random, draw)(size=(cases, n))
    rate = np.mean([p_of(list(v)) <= 0.05 for v in values])
    error = math.sqrt(0.05 * 0.95 / cases)
    assert rate <= 0.05 + 3 * error
    if draw == "normal":
        floor = 0.05 if n < stats.EXACT_FROM else math.floor(0.05 * 2**n) / 2**n  # p is a multiple of 2^-n
        assert rate >= floor - 3 * error


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
@settings(deadline=None)
def test_a_row_and_its_rival_are_not_both_shown_to_be_better(values: list[float]) -> None:
    if max(values) - min(values) < 1e-3 and len(values) < stats.EXACT_FROM:
        assert stats.paired_p([values[0]] * len(values)) is None  # nothing to test with
        return
    there, back = p_of(values), p_of([-v for v in values])
    assert 0 <= there <= 1
    assert there + back >= 1 - 1e-9
    assert p_of([v + 1 for v in values]) <= there + 1e-9


def test_differences_without_any_spread() -> None:
    """Equal differences say nothing about how they vary: coarse figures such as odsF have them by chance."""
    assert [stats.paired_p([v] * 3) for v in (0.5, 0.0, -0.5, 1e-15)] == [None] * 4
    found = stats.paired_p([0.5] * 3, (0.5, 12))
    oracle = scipy.stats.t.sf(0.5 / (0.5 * math.sqrt(2 / 3)), 12)
    assert found == (pytest.approx(float(oracle)), "t test, spread of other runs")
    assert p_of([0.0] * 7) == 1.0


def test_the_exact_test_is_left_where_it_cannot_reach_the_level() -> None:
    values = [-0.5, -0.6, -0.7, -0.4, -0.5, -0.6]
    assert stats.paired_p(values, None, 0.05) == (1.0, "exact sign-flip test, paired by seed")
    found = stats.paired_p([-v for v in values], None, 0.0125)  # 1/64 is more than that
    assert found is not None
    assert found[1] == "t test, paired by seed"
    assert found[0] < 0.0125


@pytest.mark.parametrize("difference", [-1.0, 0.0, 0.5, 2.0])
def test_one_seed_with_a_spread_from_elsewhere(difference: float) -> None:
    """Each of the two rows is one run: their difference has twice the variance of one."""
    oracle = scipy.stats.t.sf(difference / (0.5 * math.sqrt(2)), 12)
    assert stats.paired_p([difference], (0.5, 12)) == (pytest.approx(float(oracle)), "t test, spread of other runs")


def test_one_seed_alone_tests_nothing() -> None:
    assert stats.paired_p([3.0]) is None
    assert stats.paired_p([3.0], (0.0, 5)) is None  # a spread of nought is no measurement of one


def test_the_rate_of_one_seed_with_a_pooled_spread_is_alpha() -> None:
    random = np.random.default_rng(4)
    cases, rows = 3000, 4
    pool = np.sqrt(random.normal(size=(cases, rows, 3)).var(axis=2, ddof=1).mean(axis=1))
    gaps = random.normal(size=(cases, 2)) @ [1, -1]
    rate = np.mean([p_of([g], (s, rows * 2)) <= 0.05 for g, s in zip(gaps, pool, strict=True)])
    assert rate == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("n", [1, 3, 7, 20])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_difference_that_is_no_number_is_no_test(n: int, bad: float) -> None:
    assert stats.paired_p([*[1.0] * (n - 1), bad], (0.5, 10)) is None


def test_the_documented_power_is_what_the_function_gives() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d) \| .* \| (\d+) \| ([\d.]+) \| ([\d.]+) % \|$", text, re.MULTILINE)
    assert len(lines) == 9
    for m, df, band, seen in lines:
        assert stats.half_width(1.0, int(df), 3, int(m)) == pytest.approx(float(band), abs=0.005)
        assert 100 * stats.power(2.0, int(df), 3, int(m)) == pytest.approx(float(seen), abs=0.05)
