"""From a measured figure and an expectation to a `Check`: pure functions, one a kind of check."""

from __future__ import annotations

import math
from dataclasses import replace

from mtlrepro.suite import stats
from mtlrepro.suite.expected import Claim, Column, KnownDeviation
from mtlrepro.suite.printed import Printed
from mtlrepro.suite.results import Check, Value
from mtlrepro.suite.tolerances import Tolerance

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
    column: Column, cell: Printed, value: Value, spread: tuple[float, int] | None, runs: int, tolerance: Tolerance
) -> Check:
    """A trained figure against the paper's: |mean - printed| <= max(k·s, half unit + practical tolerance).

    Args:
        column: the printed column.
        cell: the printed number, in the column's unit.
        value: ours, in the column's unit.
        spread: pooled standard deviation over the table's rows and its degrees of freedom, column's unit.
        runs: runs behind the printed number.
        tolerance: the practical tolerance of the column's protocol.
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
        reason=reason,
        p=p if bound_by == "spread" else None,
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


def trivial(figure: str, better: str, measured: float, reference: float, margin: float, tier: str, n: int) -> Check:
    """Does a trained network beat the best constant predictor by the stated margin?

    The margin is a fraction of what is left to gain: of the trivial error for lower-is-better figures, of
    1 - trivial for higher-is-better ones (fractions in 0..1).
    """
    bound = (1 - margin) * reference if better == "lower" else reference + margin * (1 - reference)
    gain = bound - measured if better == "lower" else measured - bound
    ok = gain >= 0
    relation = "<=" if better == "lower" else ">="
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


def claim(
    entry: Claim,
    columns: dict[str, Column],
    ours: dict[str, Value],
    other: dict[str, Value],
    spreads: dict[str, tuple[float, int]],
) -> Check:
    """An ordering: does the mean of `row` beat the mean of `over` on every named column?

    Where the gap is smaller than the seeds' 95 % band, the verdict stands but the reason says so.
    """
    against, weak = [], []
    for key in entry.columns:
        gap = ours[key].mean - other[key].mean
        gain = gap if columns[key].better == "higher" else -gap
        if not gain > 0:  # nor where one of them is not a number
            against.append(f"{columns[key].title}: {gap:+.4g}")
        if key in spreads and abs(gap) <= stats.half_width(*spreads[key], ours[key].n, other[key].n, ALPHA):
            weak.append(columns[key].title)
    reason = f"not so on {', '.join(against)}" if against else ""
    if weak:
        reason += f"{'; ' if reason else ''}within the spread of seeds: {', '.join(weak)}"
    n = min(v.n for figures in (ours, other) for v in (figures[key] for key in entry.columns))
    return Check(
        kind="claim",
        subject=entry.text,
        tier="full",
        verdict="FAIL" if against else "PASS",
        expected=entry.quote or None,
        n=n,
        reason=reason,
    )


def adjust(checks: list[Check]) -> tuple[list[Check], float]:
    """Holm's adjustment over one table's spread-bound checks, and the number of chance failures to expect there."""
    family = {str(i): c.p for i, c in enumerate(checks) if c.p is not None}
    rejected = stats.holm(family, ALPHA)
    out = [
        replace(c, holm=c.verdict if rejected[str(i)] else "PASS") if str(i) in rejected else c
        for i, c in enumerate(checks)
    ]
    return out, ALPHA * len(family)
