"""What a table file may say (`docs/expected-format.md`), as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mtlrepro.errors import unknown
from mtlrepro.expected.cells import IDEM, Printed, parse

COUNTED = ("params", "added_params", "macs")
"""Resources that are counted on the paper's exact model."""

TIMED = ("train_time", "vram")
"""Resources that are measured on a GPU, and compared as ratios between rows."""

RESOURCES = (*COUNTED, *TIMED)
"""Metrics that no training loss improves: counts, time and memory."""

UNITS = ("%", "m", "deg", "M", "G", "h", "GiB", "")

SCALES = {"%": 100.0, "M": 1e-6, "G": 1e-9, "GiB": 2.0**-30, "h": 1 / 3600}
"""Factor from a metric's own unit (fractions, counts, bytes, seconds) to a column's."""


@dataclass(frozen=True)
class Place:
    """Where something is printed; what is empty is that of the place that says so."""

    paper: str = ""
    table: str = ""
    group: str = ""
    set: str = ""
    row: str = ""

    def over(self, base: Place) -> Place:
        """This place where it says something, `base` elsewhere."""
        return Place(*(mine or theirs for mine, theirs in zip(self.fields(), base.fields(), strict=True)))

    def fields(self) -> tuple[str, ...]:
        """Paper, table, group, set, row."""
        return self.paper, self.table, self.group, self.set, self.row

    def __str__(self) -> str:
        parts = (self.paper, self.table and f"Table {self.table}", self.group, self.set, self.row)
        return ", ".join(p for p in parts if p)


@dataclass(frozen=True)
class Column:
    """One column of a printed table.

    Attributes:
        key: short key used by rows, claims and reports.
        title: heading as printed.
        metric: "<task>.<figure>" ("semseg.miou"), a resource (`RESOURCES`) or "delta_m".
        protocol: named protocol of the figure, for example "miou/dataset@1".
        unit: one of `UNITS`.
        better: "higher" or "lower".
        set: the set of columns it belongs to, where the table has sets.
        relative: cells below the baseline row are printed relative to it, in percent.
        over: for delta_m: the metrics it averages.
        baseline: for delta_m: what it refers to, if not what the panel refers to.
    """

    key: str
    title: str
    metric: str
    protocol: str
    unit: str
    better: str
    set: str = ""
    relative: bool = False
    over: tuple[str, ...] = ()
    baseline: Place | None = None

    @property
    def figure(self) -> str:
        """What it prints, whatever the table: the metric, and for Δ_m the metrics it averages."""
        return f"{self.metric}({', '.join(self.over)})" if self.over else self.metric

    @property
    def scale(self) -> float:
        """Factor from a metric's own unit (fractions, metres, counts) to the column's."""
        return SCALES.get(self.unit, 1.0) if self.metric != "delta_m" else 1.0


@dataclass(frozen=True)
class Part:
    """A set of columns or a group of rows that is an experiment of its own; attributes as in the file format."""

    key: str
    title: str = ""
    dataset: str = ""
    idem: str = ""
    baseline: Place | None = None
    metrics: Place | None = None


@dataclass(frozen=True)
class PrintedRow:
    """One line in print: `origin` is "run", or "quoted" with the `source` the authors copied it from.

    `cells` are the printed strings by column key; `doubts` are remarks about them, `set_aside` says why no figure
    should be held to one.
    """

    name: str
    cells: dict[str, str]
    group: str = ""
    origin: str = "run"
    source: str = ""
    doubts: dict[str, str] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)
    metrics: Place | None = None
    repeats: tuple[Place, ...] = ()

    @property
    def id(self) -> str:
        """How claims and deviations name it: "<group>/<name>", or the name where there are no groups."""
        return f"{self.group}/{self.name}" if self.group else self.name


@dataclass(frozen=True)
class Claim:
    """An ordering the paper asserts: `row` beats every row of `over` on every column of `columns`.

    `over_columns` are the columns of the other rows where they are not the same (two sets compared).
    """

    text: str
    row: str
    over: tuple[str, ...]
    columns: tuple[str, ...]
    over_columns: tuple[str, ...] = ()
    section: str = ""
    quote: str = ""


@dataclass(frozen=True)
class KnownDeviation:
    """Why a cell is expected not to match (XFAIL): only while our figure stays within 1 % of `observed`."""

    row: str
    column: str
    observed: float
    reason: str
    evidence: str
    date: str


@dataclass(frozen=True)
class PrintedTable:
    """Everything a table file says."""

    paper: str
    table: str
    dataset: str
    caption: str
    source: str
    selection: str
    runs: int
    columns: tuple[Column, ...]
    rows: tuple[PrintedRow, ...]
    baseline: Place | None = None
    sets: tuple[Part, ...] = ()
    groups: tuple[Part, ...] = ()
    claims: tuple[Claim, ...] = ()
    deviations: tuple[KnownDeviation, ...] = ()
    notes: tuple[str, ...] = ()
    file: Path = field(default=Path())

    @cached_property
    def parsed(self) -> dict[tuple[str, str], Printed | None]:
        """(row id, column key) -> the printed number, None for a cell without a value of its own."""
        return {
            (row.id, key): parse(text, file=str(self.file), field=f"row {row.id!r}, {key}")
            for row in self.rows
            for key, text in row.cells.items()
        }

    def part(self, kind: str, key: str) -> Part:
        """The "sets" or "groups" entry of that key; an empty one for an empty key."""
        return next((p for p in getattr(self, kind) if p.key == key), Part(""))

    def row(self, group: str, name: str) -> PrintedRow:
        """The printed line of that name in a group (SpecError with the nearest names if there is none)."""
        for row in self.rows:
            if (row.group, row.name) == (group, name):
                return row
        wanted = f"{group}/{name}" if group else name
        raise unknown("row", wanted, [r.id for r in self.rows], file=self.file)

    def column(self, key: str) -> Column:
        """The column of that key (SpecError with the nearest keys if there is none)."""
        for column in self.columns:
            if column.key == key:
                return column
        raise unknown("column", key, [c.key for c in self.columns], file=self.file)

    def value(self, row: PrintedRow, column: Column) -> Printed | None:
        """A cell's number; "idem" cells have that of the set they repeat."""
        if row.cells.get(column.key) != IDEM:
            return self.parsed.get((row.id, column.key))
        source = self.part("sets", column.set).idem
        same = next((c for c in self.columns if (c.set, c.metric) == (source, column.metric)), None)
        return self.value(row, same) if same and same.key != column.key else None
