"""What a row's checks amount to: does it hold, does it fail, or was there nothing to hold?"""

from __future__ import annotations

from dataclasses import dataclass

from mtlrepro.suite.results import GREEN, GREY, Check, RowResult
from mtlrepro.suite.table import Row


@dataclass(frozen=True)
class Outcome:
    """The end of a row.

    Attributes:
        failures: checks that are neither green nor grey; a row that was asked for by tier and not served fails too.
        skipped: why there is nothing to hold it to, "" otherwise.
    """

    failures: list[str]
    skipped: str = ""


def outcome(row: Row, result: RowResult, claims: list[Check], strict: bool = False) -> Outcome:
    """Judge a row by its own checks and the claims about it.

    Args:
        row: as declared; a row without specs is quoted, or its method does not exist here yet. Another reading of a
            printed row is held to its own checks alone, of which one that is only counted has none unless it fails.
        result: its result.
        claims: the table's claims about it.
        strict: IMPROVED fails too.
    """
    checks = [*result.checks, *claims]
    if not row.specs:
        reasons = sorted({f"{c.verdict}: {c.reason}" for c in result.checks if c.reason})
        return Outcome([], "; ".join(reasons) or result.not_run or "nothing is printed")
    if result.tier is None:
        return Outcome([f"not served: {result.not_run}"])
    if all(c.verdict in GREY for c in checks):  # nothing was held to anything: that is not green
        reasons = sorted({f"{c.verdict}: {c.reason}" for c in checks if c.reason})
        reading = f"another reading of {row.reading_of!r}, which is not printed" if row.reading_of else "no figure"
        nothing = row.own or reading
        what = "counted, not trained" if row.counted else "nothing was decided"
        return Outcome([], f"{what}: {'; '.join(reasons) or nothing}")
    fine = GREEN | GREY if strict else GREEN | GREY | {"IMPROVED"}
    return Outcome([describe(c) for c in checks if c.verdict not in fine])


def describe(check: Check) -> str:
    """A check in one line."""
    text = f"{check.verdict} {check.kind} {check.subject}"
    if check.measured is not None:
        text += f": measured {check.measured:.5g}"
    if check.expected:
        text += f", expected {check.expected}"
    return f"{text} ({check.reason})" if check.reason else text
