"""Claims: the orderings that a paper asserts, judged from our own runs, and against the print of rows it quotes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from mtlrepro.expected.cells import Printed
from mtlrepro.expected.panel import Ordering
from mtlrepro.expected.schema import COUNTED, TIMED, Column
from mtlrepro.suite.evidence import TIMING_TIERS, Evidence, RowEvidence
from mtlrepro.suite.results import Check, Value
from mtlrepro.suite.verdict import Comparison, exact_claim, tested_claim


@dataclass(frozen=True)
class _Side:
    """A row of a claim, in its panel."""

    there: Evidence
    name: str

    @property
    def row(self) -> RowEvidence:
        return self.there.rows[self.name]

    @property
    def id(self) -> str:
        return self.there.panel.row(self.name).id

    @property
    def quoted(self) -> bool:
        """Whether the authors copied it from other work and nothing here runs it."""
        return self.there.panel.row(self.name).origin != "run" and not self.row.row.specs

    def print(self, column: Column) -> Printed | None:
        """The printed number that ours can be held to; another machine's time and memory are none."""
        line = self.there.panel.row(self.name)
        cell = self.there.panel.cell(line, column)
        usable = cell is not None and not cell.reasoned and column.key not in line.set_aside
        return cell if usable and column.metric not in TIMED else None


def judge_claim(entry: Ordering, here: Evidence) -> Check:
    """An ordering: counts are compared at once, time and memory at bench too, trained figures at the full tier alone.

    Trained figures are paired by seed. A quoted row that nothing here runs is what it prints: one number for all
    seeds, compared at the full tier alone.
    """
    quote = " ".join(filter(None, (entry.quote, entry.section and f"({entry.section})"))) or None

    def without(word: str, reason: str) -> Check:
        return Check("claim", entry.text, word, expected=quote, reason=reason)

    places = [(here, entry.row), *((here.at(panel), name) for panel, name in entry.rivals)]
    sides = [_Side(there, name) for there, name in places if there is not None and name in there.rows]
    if len(sides) < len(places):
        lacking = next(name for there, name in places if there is None or name not in there.rows)
        return without("SKIPPED", f"row {lacking!r} was not selected")
    first, *rivals = sides
    pairs = [
        (rival, here.panel.column(mine), rival.there.panel.column(theirs))
        for mine, theirs in entry.columns
        for rival in rivals
    ]
    metrics = {column.metric for _, column, _ in pairs}
    timed, exact = bool(metrics & {*TIMED}), metrics <= {*COUNTED, *TIMED}
    if reason := _held_back(first, rivals, pairs, timed, exact):
        return without("SKIPPED", reason)
    comparisons, roundings = [], []
    for rival, column, other in pairs:
        ours, theirs = _figure(first, column, rival, other), _figure(rival, other, first, column)
        for side, found in ((first, ours), (rival, theirs)):
            if found is None:
                row = side.row
                word, why = ("MISSING", row.error) if row.row.specs else ("SKIPPED", row.service.not_run)
                return without(word, ": ".join(filter(None, (f"no figure of row {side.name!r}", why))))
        assert ours is not None
        assert theirs is not None
        if not math.isfinite(theirs.mean):
            return without("SKIPPED", f"row {rival.name!r} diverged and cannot be compared with")
        label = column.title if len(rivals) == 1 else f"{column.title} against {rival.name}"
        comparisons.append(_comparison(label, first, column, ours, rival, other, theirs))
        cells = [side.print(c) for side, c in ((first, column), (rival, other)) if side.quoted]
        roundings.append(sum(cell.half_unit for cell in cells if cell))
    check = replace(_judged(exact_claim if exact else tested_claim, entry.text, comparisons, roundings), expected=quote)
    if exact:
        check = replace(check, tier=first.row.service.tier if timed else "conformance")
    if prints := ", ".join(repr(side.id) for side in sides if side.quoted):
        reason = ", ".join(filter(None, (check.reason, f"against the print of {prints}, the same for every seed")))
        check = replace(check, reason=reason)
    return check


def _held_back(
    first: _Side, rivals: list[_Side], pairs: list[tuple[_Side, Column, Column]], timed: bool, exact: bool
) -> str:
    """Why nothing is compared: a quoted row without its like, too weak a tier, another experiment; else empty."""
    sides = [first, *rivals]
    quoted = [side for side in sides if side.quoted]
    rows = [side.row for side in sides if not side.quoted]
    if first.quoted and (copied := next((rival for rival in rivals if rival.quoted), None)):
        return f"{first.id!r} and {copied.id!r} are quoted: nothing here runs either"
    for rival, column, other in pairs:
        for side, own in ((first, column), (rival, other)):
            if side.quoted and side.print(own) is None:
                return f"{side.id!r} is quoted: nothing here runs it; its print has no figure to compare: {own.title}"
    tiers, enough = {r.service.tier for r in rows}, TIMING_TIERS if exact and not quoted else ("full",)
    if (quoted or timed or not exact) and not (len(tiers) == 1 and tiers <= set(enough)):
        if quoted:
            names, one = ", ".join(repr(side.id) for side in quoted), len(quoted) == 1
            are, them, their = ("is", "it", "its") if one else ("are", "them", "their")
            return f"{names} {are} quoted: nothing here runs {them}; compared with {their} print at tier full"
        return next((r.service.not_run for r in rows if r.service.not_run), f"no {enough[0]}-tier result")
    if quoted or timed or not exact:
        figures = [figure for rival, mine, theirs in pairs for figure in ((first, mine), (rival, theirs))]
        whys = (side.there.another(side.name, column) for side, column in figures if not side.quoted)
        return next(filter(None, whys), "")
    return ""


def _figure(side: _Side, column: Column, against: _Side, other: Column) -> Value | None:
    """A side's figure; relative to the baseline row where it meets one that is printed so."""
    if side.quoted:
        cell = side.print(column)
        return Value(cell.value) if cell else None
    if against.quoted and against.there.panel.relative(against.name, other):
        return side.there.relative(side.name, column)
    return side.there.value(side.name, column)


def _comparison(
    label: str, first: _Side, column: Column, ours: Value, rival: _Side, other: Column, theirs: Value
) -> Comparison:
    """The gain over a rival, of the means and seed by seed."""
    sign = 1.0 if column.better == "higher" else -1.0
    gain = sign * (ours.mean - theirs.mean)
    if not (first.quoted or rival.quoted):
        series = first.there.column_series(first.name, column), rival.there.column_series(rival.name, other)
        paired = [sign * (a - b) for a, b in zip(*series, strict=False)]
        return Comparison(label, gain, paired, first.there.spread(column)[0], min(ours.n, theirs.n))
    ran, own = (rival, other) if first.quoted else (first, column)
    draws = ran.there.draws(ran.name, own)
    paired = [sign * ((ours.mean - v) if first.quoted else (v - theirs.mean)) for v in draws]
    spread = ran.there.cell_spread(ran.name, own)[0]
    if spread is not None:  # a difference of two runs varies √2 times as much as one from a number does
        spread = spread[0] / math.sqrt(2), spread[1]
    return Comparison(label, gain, paired, spread, len(draws) or 1)


def _judged(
    judge: Callable[[str, list[Comparison]], Check], text: str, comparisons: list[Comparison], roundings: list[float]
) -> Check:
    """The verdict, if it is the same wherever within its rounding the print lies."""
    check = judge(text, comparisons)
    away = {"PASS": -1.0, "FAIL": 1.0}.get(check.verdict, 0.0)
    if not away or not any(roundings):
        return check
    moved = [
        replace(c, gain=c.gain + away * r, paired=[d + away * r for d in c.paired])
        for c, r in zip(comparisons, roundings, strict=True)
    ]
    if judge(text, moved).verdict == check.verdict:
        return check
    return replace(check, verdict="SKIPPED", reason=f"undecided within the rounding of the print: {check.reason}")
