"""Checks one by one: bands and what bounds them, directions, known deviations, and the false-alarm rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.expected.cells import Printed, parse
from mtlrepro.expected.schema import Column, KnownDeviation
from mtlrepro.expected.tolerances import Tolerance
from mtlrepro.suite import stats, verdict
from mtlrepro.suite.results import GREEN, GREY, Check, Value
from mtlrepro.suite.verdict import Comparison

MIOU = Column("seg", "Seg ↑", "semseg.miou", "miou/dataset@1", "%", "higher")
RMSE = Column("dep", "Dep ↓", "depth.rmse", "depth/pooled@1", "m", "lower")
PARAMS = Column("params", "Params (M)", "params", "params@1", "M", "lower", relative=True)
NOTHING = Tolerance("any", "none")
ONE_PERCENT = Tolerance("any", "an example", relative=0.01)


def cell(text: str) -> Printed:
    value = parse(text)
    assert value is not None
    return value


def printed(mean: float, text: str = "33.18", column: Column = MIOU, spread=None, n=1, tolerance=NOTHING) -> Check:
    return verdict.printed(column, cell(text), Value(mean, n), spread, 1, tolerance)


# --- printed cells ----------------------------------------------------------------------------------------------------


def test_without_spread_and_tolerance_the_rounding_of_the_print_is_the_band() -> None:
    assert printed(33.1849).verdict == "PASS"
    check = printed(33.1851)
    assert (check.verdict, check.bound_by, check.band) == ("IMPROVED", "rounding", pytest.approx(0.005))
    assert "from print, band" in check.reason


def test_a_practical_tolerance_adds_to_the_rounding() -> None:
    check = printed(33.18 * 0.99 - 0.0049, tolerance=ONE_PERCENT)
    assert (check.verdict, check.bound_by) == ("PASS", "tolerance")
    assert check.band == pytest.approx(0.3318 + 0.005)
    assert printed(33.18 * 0.99 - 0.0051, tolerance=ONE_PERCENT).verdict == "FAIL"


def test_a_wide_spread_bounds_and_then_there_is_a_p_value() -> None:
    check = printed(34.0, spread=(0.5, 20), n=3, tolerance=ONE_PERCENT)
    assert (check.verdict, check.bound_by, check.s, check.n) == ("PASS", "spread", 0.5, 3)
    assert check.band == pytest.approx(2.41 * 0.5, rel=2e-3)
    assert check.p is not None
    assert check.p > 0.05


def test_a_small_spread_leaves_the_floor_in_charge() -> None:
    check = printed(33.4, spread=(0.01, 20), n=3, tolerance=ONE_PERCENT)
    assert (check.verdict, check.bound_by, check.p) == ("PASS", "tolerance", None)


@pytest.mark.parametrize(
    ("column", "text", "mean", "expected"),
    [
        (MIOU, "33.18", 40.0, "IMPROVED"),
        (MIOU, "33.18", 20.0, "FAIL"),
        (RMSE, "0.667", 0.5, "IMPROVED"),
        (RMSE, "0.667", 0.8, "FAIL"),
    ],
)
def test_outside_on_the_good_side_is_improved_and_not_green(
    column: Column, text: str, mean: float, expected: str
) -> None:
    check = printed(mean, text, column)
    assert check.verdict == expected
    assert check.verdict not in GREEN


@pytest.mark.parametrize("column", [MIOU, RMSE])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_never_passes_nor_improves(column: Column, bad: float) -> None:
    assert printed(bad, "0.667", column).verdict == "FAIL"
    assert verdict.recorded("f", column.better, Value(bad), [0.5, 0.6], (0.1, 4), 10, "smoke").verdict == "FAIL"
    assert verdict.trivial("f", "lower", math.nan, 1.0, 0.1, "smoke", 1).verdict == "FAIL"


@given(
    st.floats(0.1, 100),
    st.floats(-50, 50),
    st.one_of(st.none(), st.tuples(st.floats(0, 5), st.integers(1, 50))),
    st.integers(1, 9),
    st.floats(0, 0.05),
)
def test_the_band_is_symmetric_and_never_below_the_floor(value, gap, spread, n, relative) -> None:
    target, tolerance = Printed("x", value, 0.005, False), Tolerance("any", "", relative)
    up = verdict.printed(MIOU, target, Value(value + gap, n), spread, 1, tolerance)
    down = verdict.printed(MIOU, target, Value(value - gap, n), spread, 1, tolerance)
    assert up.band == down.band >= 0.005 + tolerance.band(value) - 1e-12
    if math.isclose(abs(gap), up.band, rel_tol=1e-6):
        return
    assert (up.verdict == "PASS") == (down.verdict == "PASS") == (abs(gap) < up.band)
    assert {up.verdict, down.verdict} in ({"PASS"}, {"IMPROVED", "FAIL"})
    assert (up.bound_by == "spread") == (up.p is not None)


# --- simulation -------------------------------------------------------------------------------------------------------

ROWS, SEEDS, TABLES = 6, 3, 700


@pytest.fixture(scope="module")
def simulated() -> list[list[Check]]:
    """Tables whose every row is a faithful reproduction: ours and the paper's runs come from one distribution."""
    random = np.random.default_rng(7)
    tables = []
    for _ in range(TABLES):
        truth = random.uniform(20, 40, ROWS)
        ours = [list(random.normal(t, 0.4, SEEDS)) for t in truth]
        spread = stats.pooled(ours)
        cells = [Printed("x", random.normal(t, 0.4), 0.005, False) for t in truth]
        values = [Value(*_mean_n(o)) for o in ours]
        tables.append([verdict.printed(MIOU, c, v, spread, 1, NOTHING) for c, v in zip(cells, values, strict=True)])
    return tables


def _mean_n(values: list[float]) -> tuple[float, int]:
    return stats.mean_and_s(values)[0], len(values)


def test_one_cell_in_twenty_fails_by_chance(simulated: list[list[Check]]) -> None:
    verdicts = [c.verdict for table in simulated for c in table]
    assert all(c.bound_by == "spread" for table in simulated for c in table)
    assert 1 - verdicts.count("PASS") / len(verdicts) == pytest.approx(0.05, abs=0.015)
    assert verdicts.count("IMPROVED") == pytest.approx(verdicts.count("FAIL"), rel=0.4)


def test_the_number_of_chance_failures_is_the_one_told(simulated: list[list[Check]]) -> None:
    told = sum(verdict.adjust(table)[1] for table in simulated)
    seen = sum(c.verdict != "PASS" for table in simulated for c in table)
    assert seen == pytest.approx(told, rel=0.3)


def test_holm_keeps_the_rate_of_tables_with_any_false_alarm(simulated: list[list[Check]]) -> None:
    plain = np.mean([any(c.verdict != "PASS" for c in table) for table in simulated])
    adjusted = np.mean([any(c.holm != "PASS" for c in verdict.adjust(table)[0]) for table in simulated])
    assert plain > 0.2
    assert adjusted <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / TABLES)
    assert adjusted > 0.02


def test_a_real_deviation_survives_holm() -> None:
    spread = (0.4, 12)
    checks = [verdict.printed(MIOU, cell("33.18"), Value(m, 3), spread, 1, NOTHING) for m in (33.2, 33.0, 33.3, 29.0)]
    adjusted, chance = verdict.adjust(checks)
    assert [c.holm for c in adjusted] == ["PASS", "PASS", "PASS", "FAIL"]
    assert chance == pytest.approx(0.2)


def test_holm_leaves_checks_without_a_p_value_alone() -> None:
    checks = [printed(33.18), printed(20.0)]
    adjusted, chance = verdict.adjust(checks)
    assert [c.holm for c in adjusted] == [None, None]
    assert [c.verdict for c in adjusted] == ["PASS", "FAIL"]
    assert chance == 0


# --- resources and known deviations -----------------------------------------------------------------------------------

THREE = Tolerance("params@", "an example", relative=0.03)


def resource(measured: float, text: str, relative: bool, known: KnownDeviation | None = None) -> Check:
    return verdict.resource(PARAMS, cell(text), measured, relative, THREE, known)


@pytest.mark.parametrize(
    ("measured", "text", "relative", "band"),
    [
        (7.880, "8.0", False, 0.24 + 0.05),
        (-48.99, "-50%", True, 1.5 + 0.5),
        (211.8, "+204%", True, 9.12 + 0.5),
    ],
)
def test_relative_cells_are_held_to_the_tolerance_of_the_whole(
    measured: float, text: str, relative: bool, band: float
) -> None:
    check = resource(measured, text, relative)
    assert (check.verdict, check.tier, check.bound_by) == ("PASS", "conformance", "tolerance")
    assert check.band == pytest.approx(band)
    assert resource(measured + 2 * band, text, relative).verdict == "FAIL"


def known(observed: float) -> KnownDeviation:
    return KnownDeviation("PAD-Net", "params", observed, "a reason", "some evidence", "2026-11-22")


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(-10.92, "XFAIL"), (-10.82, "XFAIL"), (-10.80, "FAIL"), (-11.1, "FAIL"), (-14.9, "IMPROVED"), (30.0, "FAIL")],
)
def test_xfail_holds_only_at_the_registered_value(measured: float, expected: str) -> None:
    check = resource(measured, "-15%", True, known(-10.92))
    assert check.verdict == expected
    assert ("some evidence" in check.reason) == (expected == "XFAIL")
    if expected == "FAIL":
        assert "registered at -10.92" in check.reason


def test_a_registered_deviation_that_is_none_is_not_green() -> None:
    check = resource(-14.9, "-15%", True, known(-14.9))
    assert check.verdict == "IMPROVED"
    assert "remove the entry" in check.reason


# --- trivial, recorded, claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "measured", "reference", "margin", "expected"),
    [
        ("lower", 0.89, 1.0, 0.1, "PASS"),
        ("lower", 0.91, 1.0, 0.1, "FAIL"),
        ("lower", 1.0, 1.0, 0.0, "FAIL"),
        ("lower", 0.999, 1.0, 0.0, "PASS"),
        ("higher", 0.2, 0.2, 0.0, "FAIL"),
        ("higher", 0.29, 0.2, 0.1, "PASS"),
        ("higher", 0.27, 0.2, 0.1, "FAIL"),
    ],
)
def test_trivial_predictors_must_be_beaten_by_the_margin(better, measured, reference, margin, expected) -> None:
    check = verdict.trivial("f", better, measured, reference, margin, "smoke", 1)
    assert check.verdict == expected
    assert bool(check.reason) == (expected == "FAIL")


def test_one_recorded_seed_must_be_met_exactly() -> None:
    assert verdict.recorded("f", "lower", Value(0.5), [0.5], None, 10, "smoke").verdict == "PASS"
    check = verdict.recorded("f", "lower", Value(0.5001), [0.5], None, 10, "smoke")
    assert check.verdict == "FAIL"
    assert "must be equal" in check.reason


def test_the_band_around_recorded_results_grows_with_the_family() -> None:
    one, many = (verdict.recorded("f", "lower", Value(0.5), [0.4, 0.6], (0.1, 9), k, "smoke").band for k in (1, 60))
    assert one == pytest.approx(stats.half_width(0.1, 9, 1, 2, 0.01))
    assert many == pytest.approx(stats.half_width(0.1, 9, 1, 2, 0.01 / 60))


def test_another_draw_rarely_leaves_the_recorded_band() -> None:
    random = np.random.default_rng(3)
    family, sessions, alarms = 10, 1500, 0
    for _ in range(sessions):
        reference = random.normal(0.6, 0.05, (family, 3))
        spread = stats.pooled([list(r) for r in reference])
        draws = random.normal(0.6, 0.05, family)
        checks = [
            verdict.recorded("f", "lower", Value(d), list(r), spread, family, "smoke")
            for d, r in zip(draws, reference, strict=True)
        ]
        alarms += any(c.verdict != "PASS" for c in checks)
    assert alarms / sessions <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / sessions)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(100.0, "PASS"), (119.9, "PASS"), (120.1, "FAIL"), (83.4, "PASS"), (83.3, "IMPROVED"), (math.nan, "FAIL")],
)
def test_time_and_memory_are_compared_as_ratios(measured: float, expected: str) -> None:
    check = verdict.regression("step_ms", Value(measured, 2), [90.0, 110.0], 1.2, "bench")
    assert (check.verdict, check.kind, check.tier, check.n) == (expected, "recorded", "bench", 2)
    assert check.band == pytest.approx(20)
    assert bool(check.reason) == (expected != "PASS")
    if expected == "FAIL" and math.isfinite(measured):
        assert check.reason == "1.2 times what this machine recorded, limit 1.2"


# --- claims -----------------------------------------------------------------------------------------------------------

TEXT = "A beats B"


def against(label: str, paired: list[float], spread: tuple[float, int] | None = None) -> Comparison:
    return Comparison(label, float(np.mean(paired)), paired, spread, len(paired))


def said_of(*comparisons: Comparison) -> Check:
    return verdict.tested_claim(TEXT, list(comparisons))


def exact(*gains: float) -> Check:
    return verdict.exact_claim(TEXT, [Comparison(f"column {i}", g, [], None, 1) for i, g in enumerate(gains)])


def test_an_exact_claim_holds_only_on_every_column() -> None:
    check = exact(1.0, 0.5)
    assert (check.verdict, check.tier, check.subject, check.reason) == ("PASS", "conformance", TEXT, "")
    check = exact(1.0, -0.5)
    assert (check.verdict, check.reason) == ("FAIL", "not so on column 1: -0.5")
    assert exact(0.0).verdict == "FAIL"  # a tie beats nobody
    assert exact(math.nan).verdict == "FAIL"


def test_a_tested_claim_passes_only_if_every_comparison_shows_it() -> None:
    check = said_of(against("Seg", [0.5, 0.7, 0.6]), against("Dep", [0.01, 0.012, 0.011]))
    assert (check.verdict, check.tier, check.subject, check.n) == ("PASS", "full", TEXT, 3)
    assert check.reason == "p = 0.0046 (t test, paired by seed)"  # the larger of the two
    check = said_of(against("Seg", [0.5, 0.7, 0.6]), against("Dep", [0.01, -0.012, 0.011]))
    assert check.verdict == "SKIPPED"
    assert check.verdict in GREY
    assert check.reason.startswith("undecided with n = 3: the means are in that order, p = ")


def test_a_mean_of_the_other_sign_is_no_refutation_by_itself() -> None:
    check = said_of(against("Seg", [0.5, 0.7, 0.6]), against("Dep", [-0.01, 0.005, -0.02]))
    assert check.verdict == "SKIPPED"
    assert "the means say otherwise on Dep: -0.00833" in check.reason


def test_the_opposite_must_be_shown_at_alpha_over_the_number_of_comparisons() -> None:
    """p of the opposite is 0.032: enough for a claim on one column, not for one of two."""
    reverse = against("Dep", [-0.5, -0.7, -1.2])
    p = stats.paired_p([0.5, 0.7, 1.2])
    assert p is not None
    assert 0.025 < p[0] < 0.05
    assert said_of(reverse).verdict == "FAIL"
    check = said_of(reverse)
    assert check.reason.startswith("the opposite is shown on Dep: -0.8, p = 0.03")
    assert said_of(against("Seg", [0.5, 0.7, 0.6]), reverse).verdict == "SKIPPED"
    clear = against("Dep", [-0.5, -0.7, -0.6])
    assert said_of(against("Seg", [0.5, 0.7, 0.6]), clear).verdict == "FAIL"


def test_a_pass_needs_no_adjustment() -> None:
    ordered = against("Seg", [0.5, 0.7, 1.2])  # p = 0.032
    assert said_of(*[ordered] * 5).verdict == "PASS"


def test_one_seed_is_tested_with_a_spread_from_elsewhere_or_not_at_all() -> None:
    assert said_of(against("Seg", [3.0], (0.4, 20))).verdict == "PASS"
    assert said_of(against("Seg", [0.3], (0.4, 20))).verdict == "SKIPPED"
    assert said_of(against("Seg", [-3.0], (0.4, 20))).verdict == "FAIL"
    check = said_of(against("Seg", [3.0], (0.4, 20)), against("Dep", [3.0]))
    assert (check.verdict, check.n) == ("SKIPPED", 1)
    assert check.reason.startswith("undecided, one seed and no known spread: the means are in that order")
    # what cannot be tested does not shield what is refuted
    assert said_of(against("Seg", [-3.0], (0.4, 20)), against("Dep", [3.0])).verdict == "FAIL"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_claim_with_a_figure_that_is_not_a_number_does_not_hold(bad: float) -> None:
    check = said_of(against("Seg", [0.5, 0.7, 0.6]), against("Dep", [0.5, bad, 0.6]))
    assert (check.verdict, check.reason) == ("FAIL", "not a number: Dep")


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_of_claims_about_equals_few_are_shown_and_few_refuted(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    claims = 2000
    found = [
        said_of(*[against(str(c), list(random.normal(size=seeds))) for c in range(3)]).verdict for _ in range(claims)
    ]
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)
    assert found.count("PASS") / claims <= limit
    assert found.count("FAIL") / claims <= limit
