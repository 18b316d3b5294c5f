"""Summary tiles: how many checks of each tier ended how; a script filters rows by what a tile counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mtlrepro.report import words
from mtlrepro.suite.results import VERDICTS, Check, RowResult, SessionResult, TableResult

NO_TIER = "none"
"""Stands for a missing tier in `tokens`."""


@dataclass(frozen=True)
class Tile:
    """One tier.

    Attributes:
        tier: its name, `NO_TIER` where no evidence stands behind the checks.
        title: heading.
        meaning: what the tier is worth, in a few words.
        rows: rows that it served.
        verdicts: verdict -> number of checks, those that occur.
    """

    tier: str
    title: str
    meaning: str
    rows: int
    verdicts: dict[str, int]

    @property
    def checks(self) -> int:
        """All checks of the tile."""
        return sum(self.verdicts.values())


def tiles(result: SessionResult) -> list[Tile]:
    """A tile for every tier that gave a check or served a row, strongest first; checks without evidence at the end."""
    counts = Counter((c.tier or NO_TIER, words.verdict(c)) for c in result.checks())
    served = Counter(row.tier or NO_TIER for table in result.tables for row in table.rows)
    meanings = {tier: text.partition(": ")[2] for tier, text in words.EVIDENCE.items()}
    meanings[NO_TIER] = "nothing to compare: not run here, quoted, or without an expectation"
    found = []
    for tier, meaning in meanings.items():
        verdicts = {v: counts[tier, v] for v in VERDICTS if counts[tier, v]}
        if verdicts or (served[tier] and tier != NO_TIER):
            title = "no evidence" if tier == NO_TIER else tier
            found.append(Tile(tier, title, meaning, served[tier], verdicts))
    return found


def tokens(checks: list[Check]) -> str:
    """What a filter looks for in a row: "tier:VERDICT" of its checks, each once.

    Example:
        >>> tokens([Check("claim", "A", "SKIPPED"), Check("recorded", "x", "PASS", "smoke")])
        'none:SKIPPED smoke:PASS'
    """
    return " ".join(dict.fromkeys(f"{c.tier or NO_TIER}:{words.verdict(c)}" for c in checks))


def row_tokens(row: RowResult) -> str:
    """`tokens` of a row."""
    return tokens(row.checks)


def tally(table: TableResult) -> dict[str, int]:
    """Verdict -> number of a table's checks and claims, those that occur."""
    counts = Counter(words.verdict(c) for c in [*(c for row in table.rows for c in row.checks), *table.claims])
    return {v: counts[v] for v in VERDICTS if counts[v]}
