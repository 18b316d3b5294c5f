"""The audit as tables: what follows, what does not and by how much, what cannot be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mtlrepro.audit.items import STATUSES, Item, count
from mtlrepro.report import words
from mtlrepro.report.page import Cell, Frame, Page

STATUS = {
    "follows": "follows",
    "explained": "follows under a stated reading",
    "open": "does not follow, no reading known",
    "unchecked": "cannot be checked",
}
KIND = {
    "delta": "Δ_m or mean of gains",
    "mean": "mean over classes",
    "relative": "resource relative to the baseline",
    "repeat": "result printed twice",
    "claim": "ordering asserted by the paper",
}
BADGE = {"follows": "PASS", "explained": "XFAIL", "open": "FAIL", "unchecked": "SKIPPED"}

LEAD = [
    "Nothing here was trained or measured. Every figure that other printed figures determine is computed from them by "
    "interval arithmetic: a printed number stands for every number that rounds to it, so a value does not follow only "
    "if no choice of digits behind the prints gives it.",
    "Δ_m is computed against the row that the paper names as its baseline. A reading that would explain a value "
    "(another baseline, divisor or precision, an average over runs) is stated in expected/<paper>/audit.toml and is "
    "accepted only if the value follows under it. A result printed twice agrees if some number rounds to both prints. "
    "A claim holds in print if the row is strictly better on every column against every row that the sentence names.",
    "That a value does not follow says neither which of the prints is wrong nor that a conclusion of the paper is.",
]


def audit_page(items: Sequence[Item]) -> Page:
    """The whole audit; readings are numbered, since one may explain many values."""
    odd = [i for i in items if i.status in ("open", "explained")]
    marks = {text: f"[{n}]" for n, text in enumerate(dict.fromkeys(i.reading for i in odd if i.reading), start=1)}
    figures = [i for i in odd if i.kind in ("delta", "mean", "relative")]
    repeats = [i for i in odd if i.kind == "repeat"]
    claims = [i for i in odd if i.kind == "claim"]
    frames = [
        Frame("Counts", _counts(items), folded=False),
        Frame("Figures that do not follow as printed", _figures(figures, marks), folded=False),
        Frame("Results printed twice that differ", _repeats(repeats, marks), folded=False),
        Frame("Claims that the print does not show", _claims(claims, marks), folded=False),
        Frame("Readings", pd.DataFrame(marks.items(), columns=["Reading", "Mark"])[["Mark", "Reading"]], folded=False),
        Frame("What cannot be checked", _unchecked([i for i in items if i.status == "unchecked"])),
    ]
    return Page("Do the printed numbers follow from each other?", LEAD, [f for f in frames if len(f.data)])


def odd_values(items: Sequence[Item]) -> pd.DataFrame:
    """What the report shows below a table."""
    lines = [
        [KIND[i.kind], i.row, i.column, i.printed, _allowed(i), _off(i), _status(i), i.against, i.reading]
        for i in items
    ]
    names = ["Kind", "Row", "Column", "Printed", "Other prints allow", "Off by", "Status", "Held against", "Reading"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _counts(items: Sequence[Item]) -> pd.DataFrame:
    tally = count(list(items))
    lines = [[KIND[k], sum(row.values()), *(row[s] for s in STATUSES)] for k, row in tally.items()]
    total = [sum(row[s] for row in tally.values()) for s in STATUSES]
    lines.append(["all", sum(total), *total])
    return pd.DataFrame(lines, columns=["Kind", "Items", *(STATUS[s] for s in STATUSES)], dtype=object)


def _figures(items: Sequence[Item], marks: Mapping[str, str]) -> pd.DataFrame:
    lines = [[i.place, i.column, *_compared(i), i.against, marks.get(i.reading, "")] for i in items]
    names = ["Place", "Column", "Printed", "Other prints allow", "Off by", "Status", "Computed from", "Reading"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _repeats(items: Sequence[Item], marks: Mapping[str, str]) -> pd.DataFrame:
    lines = [[i.place, i.column, i.printed, i.against, _status(i), marks.get(i.reading, "")] for i in items]
    return pd.DataFrame(lines, columns=["Place", "Column", "Printed", "And at", "Status", "Reading"], dtype=object)


def _claims(items: Sequence[Item], marks: Mapping[str, str]) -> pd.DataFrame:
    lines = [[i.place, i.printed, i.against, _status(i), marks.get(i.reading, "")] for i in items]
    names = ["Place", "Claim as encoded", "What the print has", "Status", "Reading"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _unchecked(items: Sequence[Item]) -> pd.DataFrame:
    lines = [[KIND[i.kind], i.place, i.column, i.printed, i.reading] for i in items]
    return pd.DataFrame(lines, columns=["Kind", "Place", "Column", "Printed", "Why"], dtype=object)


def _compared(item: Item) -> list[Any]:
    return [item.printed, _allowed(item), _off(item), _status(item)]


def _allowed(item: Item) -> str:
    if item.low is None or item.high is None:
        return words.NONE
    return f"{item.low:.3f} to {item.high:.3f}".replace("-", "−")


def _off(item: Item) -> str:
    return words.NONE if item.low is None else words.number(item.off, signed=True)


def _status(item: Item) -> Cell:
    return Cell(badges=((BADGE[item.status], item.status),))
