"""From a measured figure and an expectation to a `Check`: pure functions, one a kind of check."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mtlrepro.expected.cells import Printed
from mtlrepro.expected.schema import Column, KnownDeviation
from mtlrepro.expected.tolerances import Tolerance
from mtlrepro.suite import stats
from mtlrepro.suite.results import Check, Value

ALPHA = 0.05
RECORDED_FAMILY_ALPHA = 0.01
"""Probability that any recorded-result check of a table fails by chance on another machine."""


def _outcome(difference: float, band: float, better: str) -> str:
    if not math.isfinite(difference):  # a run that diverged is never an improvement
        return "FAIL"
    if abs(difference) <= band * (1 + 1e-9):
        return "PASS"
    return "IMPROVED" if (difference > 0) == (better == "higher") else "FAIL"


def printed(
    column: Column,
    cell: Printed,
    value: Value,
    spread: tuple[float, int] | None,
    runs: int,
    tolerance: Tolerance,
    spread_from: str = "",
) -> Check:
    """A trained figure against the paper's: |mean - printed| <= max(k·s, half unit + practical tolerance).

    Args:
        column: the printed column.
        cell: the printed number, in the column's unit.
        value: ours, in the column's unit.
        spread: pooled standard deviation of one run and its degrees of freedom, column's unit.
        runs: runs behind the printed number.
        tolerance: the practical tolerance of the column's protocol.
        spread_from: where the spread comes from, for the report.
    """
    practical = tolerance.band(cell.value)
    floor = cell.half_unit + practical
    band, bound_by = floor, "tolerance" if practical else "rounding"
    difference = value.mean - cell.value
    p = None
    if spread is not None:
        s, df = spread
        wide = stats.half_width(s, df, value.n, runs, ALPHA)
        p = stats.p_value(difference, s, df, value.n, runs)
        if wide > floor:
            band, bound_by = wide, "spread"
    verdict = _outcome(difference, band, column.better)
    reason = (
        "" if verdict == "PASS" else f"{difference:+.4g} {column.unit} from print, band ±{band:.4g}".replace("  ", " ")
    )
    return Check(
        kind="printed",
        subject=column.key,
        tier="full",
        verdict=verdict,
        expected=cell.text,
        measured=value.mean,
        difference=difference,
        band=band,
        bound_by=bound_by,
        n=value.n,
        s=spread[0] if spread else None,
        s_from=f"{spread_from}, {spread[1]} degrees of freedom" if spread else "",
        reason=reason,
        p=p if bound_by == "spread" and math.isfinite(difference) else None,
    )


def resource(
    column: Column,
    cell: Printed,
    measured: float,
    relative: bool,
    tolerance: Tolerance,
    known: KnownDeviation | None,
) -> Check:
    """Parameters or MACs against the paper, exact count against a rounded print.

    A relative cell ("-50%") is compared as a ratio to the baseline row, so that +204 % and -15 % are held to the same
    tolerance: (1 + measured) / (1 + printed) within the tolerance, plus half a printed unit.

    Args:
        column: the printed column.
        cell: the printed number.
        measured: ours in the column's unit; for a relative cell in percent of the baseline minus 100.
        relative: whether the cell is printed relative to the baseline row.
        tolerance: the practical tolerance (of 100 + printed percent for relative cells).
        known: a registered deviation of this cell, if any.
    """
    amount = 100.0 + cell.value if relative else cell.value
    practical = tolerance.band(amount)
    band = cell.half_unit + practical
    difference = measured - cell.value
    verdict = "PASS" if abs(difference) <= band * (1 + 1e-9) else "FAIL"
    unit = "points" if relative else column.unit
    reason = "" if verdict == "PASS" else f"{difference:+.4g} {unit} from print, band ±{band:.3g}"
    check = Check(
        kind="resource",
        subject=column.key,
        tier="conformance",
        verdict=verdict,
        expected=cell.text,
        measured=measured,
        difference=difference,
        band=band,
        bound_by="tolerance" if practical else "rounding",
        n=1,
        reason=reason,
    )
    return check if known is None else expect_failure(check, known)


def expect_failure(check: Check, known: KnownDeviation) -> Check:
    """Turn a FAIL into XFAIL while the figure is the one that was registered (within 1 %); anything else is news."""
    assert check.measured is not None
    if check.verdict == "PASS":
        return replace(
            check, verdict="IMPROVED", reason="inside the band although a deviation is registered: remove the entry"
        )
    if not math.isclose(check.measured, known.observed, rel_tol=0.01):
        text = f"known deviation was registered at {known.observed:g}, now {check.measured:.4g}: {known.reason}"
        return replace(check, verdict="FAIL", reason=text)
    return replace(check, verdict="XFAIL", reason=f"{known.reason} [{known.evidence}; {known.date}]")


def ratio(
    column: Column,
    cell: Printed,
    measured: float,
    printed_base: Printed,
    measured_base: float,
    tolerance: Tolerance,
    base: str,
    tier: str,
) -> Check:
    """Time or memory as a multiple of another row's: other hardware changes the amounts, hardly their ratio.

    Args:
        column: the printed column.
        cell: the printed amount.
        measured: ours, in the column's unit.
        printed_base: the printed amount of the row that is referred to.
        measured_base: ours of that row.
        tolerance: the practical tolerance of an amount.
        base: name of the row that is referred to.
        tier: tier that measured.
    """
    wanted, found = cell.value / printed_base.value, measured / measured_base
    rounding = wanted * (cell.half_unit / cell.value + printed_base.half_unit / printed_base.value)
    band = rounding + tolerance.band(wanted)
    difference = found - wanted
    good = abs(difference) <= band * (1 + 1e-9)
    verdict = "PASS" if good else "IMPROVED" if difference < 0 else "FAIL"
    text = f"{found:.2f} times {base!r} (print {wanted:.2f}, band ±{band:.2f})"
    return Check(
        kind="resource",
        subject=column.key,
        tier=tier,
        verdict=verdict,
        expected=cell.text,
        measured=measured,
        difference=difference,
        band=band,
        bound_by="tolerance",
        n=1,
        reason=text,
    )


def trivial(figure: str, better: str, measured: float, reference: float, margin: float, tier: str, n: int) -> Check:
    """Does a trained network beat the best constant predictor by the stated margin?

    The margin is a fraction of what is left to gain: of the trivial error for lower-is-better figures, of
    1 - trivial for higher-is-better ones (fractions in 0..1). A network that has become that predictor does
    not beat it.
    """
    bound = (1 - margin) * reference if better == "lower" else reference + margin * (1 - reference)
    gain = bound - measured if better == "lower" else measured - bound
    ok = gain > 0
    relation = "<" if better == "lower" else ">"
    return Check(
        kind="trivial",
        subject=figure,
        tier=tier,
        verdict="PASS" if ok else "FAIL",
        expected=f"{relation} {bound:.4g} (trivial {reference:.4g})",
        measured=measured,
        difference=measured - reference,
        band=abs(bound - reference),
        bound_by="margin",
        n=n,
        reason="" if ok else f"must be {relation} {bound:.4g}: the best constant predictor has {reference:.4g}",
    )


def recorded(
    figure: str,
    better: str,
    value: Value,
    reference: list[float],
    spread: tuple[float, int] | None,
    family: int,
    tier: str,
) -> Check:
    """A figure against this project's own recorded runs of the same spec.

    On the recording machine the numbers repeat exactly; elsewhere kernels round differently and a short training
    diverges like another seed, so the band is that of a new draw, Bonferroni-adjusted over `family` checks.
    """
    mean, _ = stats.mean_and_s(reference)
    difference = value.mean - mean
    expected = f"{mean:.4g} ({len(reference)} seeds)"
    if spread is None:
        verdict = "PASS" if math.isclose(value.mean, mean, rel_tol=1e-6) else "FAIL"
        return Check(
            "recorded",
            figure,
            verdict,
            tier,
            expected,
            value.mean,
            difference,
            0.0,
            "rounding",
            value.n,
            reason="" if verdict == "PASS" else "one recorded seed and no spread: must be equal",
        )
    s, df = spread
    band = stats.half_width(s, df, value.n, len(reference), RECORDED_FAMILY_ALPHA / max(family, 1))
    verdict = _outcome(difference, band, better)
    reason = "" if verdict == "PASS" else f"{difference:+.4g} from the recorded mean, band ±{band:.4g}"
    return Check(
        "recorded", figure, verdict, tier, expected, value.mean, difference, band, "spread", value.n, s, reason
    )


def regression(figure: str, value: Value, reference: list[float], limit: float, tier: str) -> Check:
    """Time or memory against this machine's own record: the ratio of the means within 1 / limit .. limit."""
    mean, _ = stats.mean_and_s(reference)
    ratio = value.mean / mean
    verdict = "PASS" if 1 / limit <= ratio <= limit else "IMPROVED" if ratio < 1 else "FAIL"
    return Check(
        kind="recorded",
        subject=figure,
        tier=tier,
        verdict=verdict,
        expected=f"{mean:.4g} ({len(reference)} runs)",
        measured=value.mean,
        difference=100 * (ratio - 1),
        band=100 * (limit - 1),
        bound_by="tolerance",
        n=value.n,
        reason="" if verdict == "PASS" else f"{ratio:.3g} times what this machine recorded, limit {limit:g}",
    )


@dataclass(frozen=True)
class Comparison:
    """A row against one rival on one column.

    Attributes:
        label: how a reason names it.
        gain: difference of the means, positive where the row is better.
        paired: the same seed by seed; empty for exact figures.
        spread: deviation of one run and its degrees of freedom, for single seeds.
        n: seeds behind it.
    """

    label: str
    gain: float
    paired: list[float]
    spread: tuple[float, int] | None
    n: int


def exact_claim(text: str, comparisons: list[Comparison]) -> Check:
    """An ordering of exact figures, such as parameters: it holds or it does not; a tie beats nobody."""
    against = [f"{c.label}: {c.gain:+.4g}" for c in comparisons if not c.gain > 0]
    return Check(
        kind="claim",
        subject=text,
        tier="conformance",
        verdict="FAIL" if against else "PASS",
        n=1,
        reason=f"not so on {', '.join(against)}" if against else "",
    )


def tested_claim(text: str, comparisons: list[Comparison]) -> Check:
    """An ordering of trained figures: PASS if every comparison shows it, FAIL if one shows the opposite.

    The claim is an intersection: it is shown at level `ALPHA` if the one-sided test of every comparison is, without
    an adjustment. It is refuted if any comparison shows the opposite at `ALPHA` divided by their number. Otherwise
    the seeds decide nothing, which is neither green nor red. Exact figures among them need no test.
    """
    n = min(c.n for c in comparisons)

    def said(word: str, reason: str) -> Check:
        return Check("claim", text, word, "full", n=n, reason=reason)

    if broken := [c.label for c in comparisons if not math.isfinite(c.gain)]:
        return said("FAIL", f"not a number: {', '.join(broken)}")
    if wrong := [f"{c.label}: {c.gain:+.4g}" for c in comparisons if not c.paired and not c.gain > 0]:
        return said("FAIL", f"not so on {', '.join(wrong)}")
    comparisons = [c for c in comparisons if c.paired]
    tests = [stats.paired_p(c.paired, c.spread) for c in comparisons]
    level = ALPHA / len(comparisons)
    opposite = [stats.paired_p([-d for d in c.paired], c.spread, level) for c in comparisons]
    refuted = [
        f"{c.label}: {c.gain:+.4g}, p = {t[0]:.2g}"
        for c, t in zip(comparisons, opposite, strict=True)
        if t and t[0] <= level
    ]
    method = next((t[1] for t in tests if t), "")
    if refuted:
        return said("FAIL", f"the opposite is shown on {'; '.join(refuted)} ({method})")
    reversed_ = [f"{c.label}: {c.gain:+.4g}" for c in comparisons if not c.gain > 0]
    order = f"the means say otherwise on {', '.join(reversed_)}" if reversed_ else "the means are in that order"
    p = None if any(t is None for t in tests) else max(t[0] for t in tests if t)
    if p is None:
        what = "one seed" if n == 1 else "equal differences"
        reason = f"undecided, {what} and no known spread: {order}; --seeds 3 or more can test it"
        return said("SKIPPED", reason)
    if p <= ALPHA:
        return said("PASS", f"p = {p:.2g} ({method})")
    return said("SKIPPED", f"undecided with n = {n}: {order}, p = {p:.2g} ({method})")


def adjust(checks: list[Check]) -> tuple[list[Check], float]:
    """Holm's adjustment over one table's spread-bound checks, and the number of chance failures to expect there."""
    family = {str(i): c.p for i, c in enumerate(checks) if c.p is not None}
    rejected = stats.holm(family, ALPHA)
    out = [
        replace(c, holm=c.verdict if rejected[str(i)] else "PASS") if str(i) in rejected else c
        for i, c in enumerate(checks)
    ]
    return out, chance_failures(checks)


def chance_failures(checks: list[Check]) -> float:
    """How many of the spread-bound checks to expect outside their band if nothing differs."""
    return ALPHA * sum(c.p is not None for c in checks)
