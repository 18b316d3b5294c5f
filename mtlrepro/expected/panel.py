"""A panel: the part of a printed table that has one dataset, one set of columns and one baseline row.

A printed table is divided by groups of rows and sets of columns; most tables are one panel. A panel is what a
suite file runs and a report shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtlrepro.errors import unknown
from mtlrepro.expected.cells import DASHES, Printed
from mtlrepro.expected.load import load_table, table_file, table_files
from mtlrepro.expected.schema import RESOURCES, TIMED, Column, KnownDeviation, Part, Place, PrintedRow, PrintedTable


@dataclass(frozen=True)
class Located:
    """A row of a panel, found by a `Place`."""

    table: PrintedTable
    group: str
    set: str
    row: PrintedRow

    @property
    def panel(self) -> str:
        """Key of the panel."""
        return panel_key(self.group, self.set)

    def values(self) -> dict[str, tuple[Column, Printed]]:
        """Figure -> column and number, of the row's cells that have one; without a set, of all sets."""
        found: dict[str, tuple[Column, Printed]] = {}
        for column in self.table.columns:
            if self.set in ("", column.set) and (cell := self.table.value(self.row, column)) is not None:
                found.setdefault(column.figure, (column, cell))
        return found

    def metrics(self) -> dict[str, tuple[Column, Printed]]:
        """As `values`, with those metrics that the row says are printed elsewhere."""
        return Panel(self.table, self.group, self.set).metrics(self.row)

    def __str__(self) -> str:
        return f"{self.table.paper}/{self.table.table} [{'/'.join(filter(None, (self.panel, self.row.name)))}]"


def locate(place: Place, table: PrintedTable, group: str, set_: str, row: str) -> Located:
    """Find a place as seen from a row of a panel (SpecError with the nearest names if it does not exist)."""
    target = table
    if place.paper or place.table:
        root = table.file.parent.parent
        file = table_file(root, place.paper or table.paper, place.table or table.table)
        if not file.exists():
            known = [f"{f.parent.name}/{f.stem.removeprefix('table_')}" for f in table_files(root)]
            wanted = f"{place.paper or table.paper}/{place.table or table.table}"
            raise unknown("table", wanted, known, file=table.file, field=f"row {row!r}: place {place}")
        target = load_table(file)
    for kind, key, parts in (("group", place.group, target.groups), ("set", place.set, target.sets)):
        if key and key not in [p.key for p in parts]:
            raise unknown(kind, key, [p.key for p in parts], file=table.file, field=f"row {row!r}: place {place}")
    where = place.group or (group if target.part("groups", group).key else "")
    which = place.set or (set_ if target.part("sets", set_).key else "")
    found = next((r for r in target.rows if (r.group, r.name) == (where, place.row or row)), None)
    if found is None:
        wanted = "/".join(filter(None, (where, place.row or row)))
        known = [r.id for r in target.rows]
        raise unknown(
            f"row of table {target.table}", wanted, known, file=table.file, field=f"row {row!r}: place {place}"
        )
    return Located(target, where, which, found)


def panel_key(group: str, set_: str) -> str:
    """How a panel is named; empty for the only panel of a table."""
    return "/".join(filter(None, (group, set_)))


@dataclass(frozen=True)
class Ordering:
    """A claim as a panel sees it: `row` beats every rival, given as (panel, row), on every pair of columns."""

    text: str
    row: str
    rivals: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    section: str
    quote: str


@dataclass(frozen=True)
class Panel:
    """One panel of a printed table.

    Attributes:
        printed: the table it is a part of.
        group, set: keys of its group and set, empty where the table has none.
    """

    printed: PrintedTable
    group: str = ""
    set: str = ""

    @property
    def paper(self) -> str:
        """The paper's key."""
        return self.printed.paper

    @property
    def table(self) -> str:
        """The table's id."""
        return self.printed.table

    @property
    def file(self) -> Path:
        """The table's file."""
        return self.printed.file

    @property
    def runs(self) -> int:
        """Runs behind a printed cell."""
        return self.printed.runs

    @property
    def key(self) -> str:
        """Its name within the table."""
        return panel_key(self.group, self.set)

    @cached_property
    def parts(self) -> tuple[Part, Part]:
        """Its group and its set."""
        return self.printed.part("groups", self.group), self.printed.part("sets", self.set)

    @property
    def title(self) -> str:
        """Headings of its group and set, empty for the only panel of a table."""
        return ", ".join(p.title or p.key for p in self.parts if p.key)

    @property
    def dataset(self) -> str:
        """The dataset key."""
        group, set_ = self.parts
        return set_.dataset or group.dataset or self.printed.dataset

    @property
    def caption(self) -> str:
        """The table's caption, with the panel's title."""
        return f"{self.printed.caption} [{self.title}]" if self.title else self.printed.caption

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its set that its lines print something in; all of the set's if no line prints anything."""
        mine = [c for c in self.printed.columns if c.set == self.set]
        used = {key for row in self.rows for key in row.cells}
        return tuple(c for c in mine if c.key in used or not used)

    @cached_property
    def protocols(self) -> dict[str, str]:
        """Metric id -> protocol, of the columns that a training fills."""
        return {c.metric: c.protocol for c in self.columns if "." in c.metric}

    @property
    def timed(self) -> bool:
        """Whether time and memory are all it prints, which takes a few steps and no whole training."""
        return all(c.metric in TIMED for c in self.columns)

    @cached_property
    def rows(self) -> tuple[PrintedRow, ...]:
        """The lines of its group that print something in its columns."""
        keys = {c.key for c in self.printed.columns if c.set == self.set}
        lines = [r for r in self.printed.rows if r.group == self.group]
        return tuple(r for r in lines if not self.set or keys & set(r.cells))

    def row(self, name: str) -> PrintedRow:
        """The line of that name (SpecError with the nearest names if there is none)."""
        for row in self.rows:
            if row.name == name:
                return row
        raise unknown("row", name, [r.name for r in self.rows], file=self.file, field=self.key or None)

    def column(self, key: str) -> Column:
        """The column of that key (SpecError with the nearest keys if there is none)."""
        for column in self.columns:
            if column.key == key:
                return column
        raise unknown("column", key, [c.key for c in self.columns], file=self.file, field=self.key or None)

    def cell(self, row: PrintedRow, column: Column) -> Printed | None:
        """A cell's number, None where there is none."""
        return self.printed.value(row, column)

    def cells(self, row: PrintedRow) -> dict[str, Printed]:
        """Column key -> number, of a line's cells that have one."""
        return {c.key: cell for c in self.columns if (cell := self.cell(row, c)) is not None}

    # --- what Δ and relative columns refer to ---------------------------------------------------------------------

    @cached_property
    def _base(self) -> Place | None:
        group, set_ = self.parts
        places = [p for p in (set_.baseline, group.baseline, self.printed.baseline) if p is not None]
        merged = places[0] if places else None
        for place in places[1:]:
            merged = merged.over(place) if merged else place
        return merged if merged and any(merged.fields()) else None

    def reference(self, row: PrintedRow, column: Column | None = None) -> Located | None:
        """The row that a cell of `row` refers to; None where the paper does not print it."""
        place = (column.baseline if column is not None else None) or self._base
        return locate(place, self.printed, self.group, self.set, row.name) if place else None

    @cached_property
    def baseline(self) -> str:
        """Name of the baseline row where it is a line of this very panel, else empty."""
        if self._base is None or not self._base.row or not self.rows:
            return ""
        at = self.reference(self.rows[0])
        here = at is not None and at.table is self.printed and (at.group, at.set) == (self.group, self.set)
        return at.row.name if at is not None and here else ""

    def elsewhere(self, row: PrintedRow) -> Located | None:
        """Where a line says that its metrics are printed, None where it does not say so."""
        group, set_ = self.parts
        places = [p for p in (row.metrics, set_.metrics, group.metrics) if p is not None]
        if not places:
            return None
        place = places[0]
        for outer in places[1:]:
            place = place.over(outer)
        return locate(place, self.printed, self.group, self.set, row.name)

    def metrics(self, row: PrintedRow) -> dict[str, tuple[Column, Printed]]:
        """Figure -> column and number of a line's metrics, here or where the line says that they are printed."""
        there = self.elsewhere(row)
        own = Located(self.printed, self.group, self.set, row).values()
        return {**there.values(), **own} if there else own

    def averaged(self, row: PrintedRow, column: Column) -> tuple[str, ...]:
        """The metrics that a row's Δ_m averages: those of its column but for cells printed as a dash."""
        none = {c.metric for c in self.columns if row.cells.get(c.key, "").translate(DASHES) == "-"}
        return tuple(m for m in column.over if m not in none)

    def relative(self, row: str, column: Column) -> bool:
        """Whether the paper prints this cell relative to the baseline row."""
        return column.relative and row != self.baseline

    def check(self) -> None:
        """Resolve every place that its rows and columns name (SpecError with the nearest names)."""
        for row in self.rows:
            self.metrics(row)
            for column in self.columns:
                if column.over or column.relative:
                    self.reference(row, column)
            for place in row.repeats:
                locate(place, self.printed, self.group, self.set, row.name)

    # --- claims ---------------------------------------------------------------------------------------------------

    @cached_property
    def claims(self) -> tuple[Ordering, ...]:
        """The claims about its rows and columns; one about columns of several sets is asserted in each of them."""
        ids = {r.id: r for r in self.printed.rows}
        found = []
        for claim in self.printed.claims:
            pairs = tuple(zip(claim.columns, claim.over_columns or claim.columns, strict=True))
            pairs = tuple(p for p in pairs if self.printed.column(p[0]).set == self.set)
            if ids[claim.row] not in self.rows or not pairs:
                continue
            other = self.printed.column(pairs[0][1]).set
            rivals = tuple((panel_key(ids[name].group, other), ids[name].name) for name in claim.over)
            found.append(Ordering(claim.text, ids[claim.row].name, rivals, pairs, claim.section, claim.quote))
        return tuple(found)

    @cached_property
    def deviations(self) -> tuple[KnownDeviation, ...]:
        """The registered deviations of its cells."""
        rows, keys = {r.id for r in self.rows}, {c.key for c in self.columns}
        return tuple(d for d in self.printed.deviations if d.row in rows and d.column in keys)

    @property
    def notes(self) -> tuple[str, ...]:
        """The table's notes, and what is said of this panel's cells: doubts, and why some are set aside."""
        titles = {c.key: c.title for c in self.columns}
        remarks = [(r.name, k, text) for r in self.rows for k, text in (*r.doubts.items(), *r.set_aside.items())]
        return (*self.printed.notes, *(f"{name}, {titles[k]}: {text}" for name, k, text in remarks if k in titles))


def trained(values: dict[str, tuple[Column, Printed]]) -> dict[str, float]:
    """Metric id -> value in the metric's own unit, of `Located.values` or `Panel.metrics`, without Δ and resources."""
    return {m: cell.value / c.scale for m, (c, cell) in values.items() if c.metric not in (*RESOURCES, "delta_m")}


def panels(table: PrintedTable) -> list[Panel]:
    """The panels of a table, in printed order: group by group, and in each set by set."""
    groups, sets = [g.key for g in table.groups] or [""], [s.key for s in table.sets] or [""]
    return [p for g in groups for s in sets if (p := Panel(table, g, s)).rows]
