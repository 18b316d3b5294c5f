"""Forest of a table: every decided comparison as its difference in units of the accepted band, one strip a figure.

Evidence of different kinds never shares a column group: figures held against the paper, exact counts, ratios of time
and memory, and this project's own records, whose scenes say nothing about the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mtlrepro.report import words
from mtlrepro.suite.figures import better
from mtlrepro.suite.results import Check, RowResult, TableResult
from mtlrepro.tasks import TASKS

SHOWN = 2.5
"""Bands that a strip shows on either side of zero; what lies beyond stands at its end with an arrow."""

GROUPS = {
    ("printed", "full"): ("from the print", "the paper's dataset, model and recipe"),
    ("resource", "conformance"): ("from the printed counts", "exact, nothing trained"),
    ("resource", "bench"): ("from the printed ratios between rows", "time and memory, bench"),
    ("resource", "full"): ("from the printed ratios between rows", "time and memory, full"),
    ("recorded", "full"): ("from this project's own record", "full"),
    ("recorded", "bench"): ("from this project's own record", "bench: synthetic scenes, no evidence about the paper"),
    ("recorded", "smoke"): ("from this project's own record", "smoke: synthetic scenes, no evidence about the paper"),
}
"""(kind, tier) of checks -> what they are compared with, and what that is worth."""


@dataclass(frozen=True)
class Strip:
    """One comparison.

    Attributes:
        verdict: of the check.
        at: where its mark stands, 0 (worse by `SHOWN` bands or more) .. 1 (better by as much).
        beyond: -1 or 1 where it lies beyond the strip's end, else 0.
        text: the difference as signed text, in the column's unit.
        detail: all of it in words, for a tooltip.
    """

    verdict: str
    at: float
    beyond: int
    text: str
    detail: str


@dataclass
class ForestGroup:
    """Columns of one kind of evidence: (heading, heading of each column)."""

    kind: str
    title: str
    worth: str
    columns: list[str] = field(default_factory=list)


@dataclass
class Forest:
    """Groups, and for every row that has a strip its place in the table, its name and its strips over all columns."""

    groups: list[ForestGroup]
    lines: list[tuple[int, str, list[tuple[str, bool, Strip | None]]]]
    """(place in the table, name, (kind of the group, first of its group, strip) a column)."""


def forest(table: TableResult) -> Forest | None:
    """The table's forest; None where nothing was held to a band."""
    headings = {c.key: words.heading(c) for c in table.columns}
    directions = {c.key: c.better for c in table.columns}
    found: dict[tuple[str, str], dict[str, dict[int, Check]]] = {key: {} for key in GROUPS}
    for place, row in enumerate(table.rows):
        for check in row.checks:
            if (check.kind, check.tier or "") in found and _decided(check):
                found[check.kind, check.tier or ""].setdefault(check.subject, {})[place] = check
    groups, columns = [], []
    for (kind, tier), subjects in found.items():
        if subjects:
            title, worth = GROUPS[kind, tier]
            names = [headings.get(subject, subject) for subject in subjects] if kind != "recorded" else list(subjects)
            groups.append(ForestGroup(f"{kind} {tier}", title, worth, names))
            columns += [(f"{kind} {tier}", i == 0, s, checks) for i, (s, checks) in enumerate(subjects.items())]
    lines = []
    for place, row in enumerate(table.rows):
        strips = [
            (kind, first, _strip(row, checks[place], directions) if place in checks else None)
            for kind, first, _, checks in columns
        ]
        if any(strip for _, _, strip in strips):
            lines.append((place, row.name, strips))
    return Forest(groups, lines) if lines else None


def _decided(check: Check) -> bool:
    return (
        words.compared(check)
        and check.verdict in words.DECIDED
        and check.difference is not None
        and check.band is not None
    )


def _strip(row: RowResult, check: Check, directions: dict[str, str]) -> Strip:
    assert check.difference is not None
    assert check.band is not None
    sign = 1 if _direction(check, directions) == "higher" else -1
    if not math.isfinite(check.difference):
        bands = -math.inf  # a run that diverged is never better
    elif check.difference == 0:
        bands = 0.0
    else:
        bands = sign * check.difference / check.band if check.band else math.copysign(math.inf, sign * check.difference)
    beyond = 0 if abs(bands) <= SHOWN else 1 if bands > 0 else -1
    text = words.number(check.difference, signed=True)
    band = f"band ± {words.number(check.band)}" + (f", set by {check.bound_by}" if check.bound_by else "")
    seeds = f"; n = {check.n}" if check.n else ""
    detail = f"{row.name}: {check.verdict}, {text} from {check.expected or 'the expectation'}, {band}{seeds}"
    at = (min(SHOWN, max(-SHOWN, bands)) + SHOWN) / (2 * SHOWN)
    return Strip(check.verdict, at, beyond, f"{check.difference:+.3g}".replace("-", words.MINUS), detail)


def _direction(check: Check, directions: dict[str, str]) -> str:
    """Which way is better; less, for time, memory and whatever else is no metric of a task."""
    if check.kind != "recorded":
        return directions.get(check.subject, "lower")
    task, _, figure = check.subject.partition(".")
    return better(check.subject) if figure and task in TASKS else "lower"
