"""`expected/<paper>/audit.toml`: readings under which a printed value follows that does not follow as printed.

A reading is checked: it explains a cell only if the cell follows under it. Two kinds cannot be: "stated" is a sentence
that no arithmetic can check, and "open" says that no reading is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.cells import Printed, parse
from mtlrepro.expected.load import load_table, table_file
from mtlrepro.expected.tomlfile import check_known, read_toml, take_all

_ANY = HOW_LAST = ("stated", "open")
HOW = {
    "delta": ("baseline", "subset", "divisor", "precision", "runs", "truncated", *_ANY),
    "mean": _ANY,
    "relative": _ANY,
    "repeat": ("truncated", *_ANY),
    "claim": _ANY,
}
"""Kind of an item -> how it may be read: another baseline; another subset of the metrics; another divisor; metrics
rounded more coarsely than they are printed; the average of relative gains over runs instead of the gain of the
averages; digits cut off instead of rounded; a statement that no arithmetic can check; no reading is known."""


@dataclass(frozen=True)
class Reading:
    """One entry of `audit.toml`.

    Attributes:
        table: id of the table.
        kind: kind of the items it is about (see `mtlrepro.audit.items.KINDS`).
        how: one of `HOW[kind]`.
        text: the reading in a sentence, sober and exact, as reports show it.
        rows: ids of the rows it is about; empty for all of the table.
        columns: keys of the columns it is about; empty for all.
        claims: texts of the claims it is about, for kind "claim".
        baseline: for "baseline": metric id -> printed form of the other value, in the column's unit.
        over: for "subset": the metrics that are averaged.
        divisor: for "divisor": what the sum of gains is divided by.
        precision: for "precision": metric id -> half of the unit it was rounded to, in the column's unit.
    """

    table: str
    kind: str
    how: str
    text: str
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    baseline: dict[str, str] = field(default_factory=dict)
    over: tuple[str, ...] = ()
    divisor: int = 0
    precision: dict[str, float] = field(default_factory=dict)

    def about(self, row: str, column: str) -> bool:
        """Is it about that cell?"""
        return (not self.rows or row in self.rows) and (not self.columns or column in self.columns)

    def replaced(self) -> dict[str, Printed]:
        """Metric id -> the other baseline's value."""
        return {m: cell for m, text in self.baseline.items() if (cell := parse(text)) is not None}


@cache
def load_readings(root: Path, paper: str) -> tuple[Reading, ...]:
    """The readings of a paper, those that can be checked first; none if it has no `audit.toml`.

    Raises:
        SpecError: unknown key, kind, table, row or column, or an entry without what its `how` needs.
    """
    path = root / paper / "audit.toml"
    if not (path.exists() or path.is_symlink()):
        return ()
    raw = read_toml(path)
    check_known("key", raw, ("readings",), path, None)
    readings = tuple(take_all(Reading, raw, "readings", path))
    for i, reading in enumerate(readings):
        _check(reading, root, paper, path, f"readings[{i}]")
    return tuple(sorted(readings, key=lambda r: HOW_LAST.index(r.how) if r.how in HOW_LAST else -1))


def _check(reading: Reading, root: Path, paper: str, path: Path, where: str) -> None:
    for name, value, known in (("kind", reading.kind, HOW), ("how", reading.how, HOW.get(reading.kind, ()))):
        if value not in known:
            raise unknown(name, value, known, file=path, field=f"{where}.{name}")
    tables = [f.stem.removeprefix("table_") for f in path.parent.glob("table_*.toml")]
    check_known("table", (reading.table,), tables, path, f"{where}.table")
    table = load_table(table_file(root, paper, reading.table))
    check_known("row", reading.rows, [r.id for r in table.rows], path, f"{where}.rows")
    check_known("column", reading.columns, [c.key for c in table.columns], path, f"{where}.columns")
    metrics = {m for c in table.columns for m in c.over}
    check_known("metric", (*reading.baseline, *reading.over, *reading.precision), metrics, path, where)
    check_known("claim", reading.claims, [c.text for c in table.claims], path, f"{where}.claims")
    for metric, text in reading.baseline.items():
        parse(text, file=str(path), field=f"{where}.baseline.{metric}")
    for metric, half in reading.precision.items():
        if isinstance(half, bool) or not isinstance(half, int | float) or not 0 < half < math.inf:
            mend = "Give half of a unit, above 0"
            raise SpecError(f"{half!r}", file=path, field=f"{where}.precision.{metric}", mend=mend)
    if reading.divisor < 0:
        raise SpecError(f"{reading.divisor}", file=path, field=f"{where}.divisor", mend="Give a positive number")
    needs = {
        "baseline": reading.baseline,
        "subset": reading.over,
        "divisor": reading.divisor,
        "precision": reading.precision,
    }
    if reading.how in needs and not needs[reading.how]:
        raise SpecError(
            f"says nothing about {reading.how!r}", file=path, field=where, mend=f"Give {reading.how} a value"
        )
