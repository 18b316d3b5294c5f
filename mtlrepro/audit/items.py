"""What the audit concludes about one printed value, and about all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

KINDS = ("delta", "mean", "relative", "repeat", "claim")
"""Δ_m from the printed metrics; a mean of printed columns; a figure relative to a printed one; the same result printed
twice; an ordering that the paper asserts of its printed figures."""

STATUSES = ("follows", "explained", "open", "unchecked")
"""Follows within rounding; does not follow as printed, but does under a stated reading; does not follow and no
reading is known; cannot be checked from what is printed."""


@dataclass(frozen=True)
class Item:
    """One printed value and what it was held against.

    Attributes:
        kind: one of `KINDS`.
        paper, table, panel, row, column: which cell; `column` is a title, several joined for a claim.
        printed: the printed string, or the claim.
        low, high: what the other printed figures allow, in the cell's unit; None where nothing can be computed.
        off: how far the printed value lies outside, 0 if it does not; positive if it lies above.
        status: one of `STATUSES`.
        against: what it was computed from or compared with.
        reading: the reading that explains it, or why it could not be checked; empty if it follows.
    """

    kind: str
    paper: str
    table: str
    panel: str
    row: str
    column: str
    printed: str
    low: float | None
    high: float | None
    off: float
    status: str
    against: str
    reading: str = ""

    @property
    def place(self) -> str:
        """Paper, table, panel and row in a line."""
        panel = f" [{self.panel}]" if self.panel else ""
        return f"{self.paper} table {self.table}{panel}, {self.row}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; figures are rounded to six significant digits."""
        numbers = {
            k: v if v is None else float(f"{v:.6g}") for k, v in asdict(self).items() if k in ("low", "high", "off")
        }
        return {**asdict(self), **numbers}


def count(items: list[Item]) -> dict[str, dict[str, int]]:
    """Kind -> status -> number of items, in the order of `KINDS` and `STATUSES`."""
    tally = Counter((i.kind, i.status) for i in items)
    return {k: {s: tally[k, s] for s in STATUSES} for k in KINDS if any(tally[k, s] for s in STATUSES)}
