"""What the audit concludes about one printed value, and about all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

KINDS = ("delta", "mean", "relative", "repeat", "claim")
"""In the order of reports."""

STATUSES = ("follows", "explained", "open", "unchecked")
"""In the order of reports."""


@dataclass(frozen=True)
class Item:
    """One printed value and what it was held against.

    Attributes:
        kind: "delta" (Δ_m or a mean of gains), "mean" (over classes), "relative" (a resource relative to the
            baseline row), "repeat" (a result printed twice) or "claim" (an ordering that the paper asserts).
        paper: the paper's key.
        table: the table's id.
        panel: the panel's key.
        row: the row it is printed in.
        column: heading of its column; several joined for a claim.
        printed: the printed string, or the claim.
        low: least value that the other printed figures allow, in the cell's unit; null where there is none.
        high: largest value that they allow.
        off: how far the printed value lies outside, 0 if it does not; positive if it lies above.
        status: "follows" (within rounding), "explained" (only under the reading given), "open" (does not follow and no
            reading is known) or "unchecked" (cannot be checked from what is printed).
        against: what it was computed from or compared with.
        reading: the reading that explains it, what is known about it, or why it could not be checked.
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
