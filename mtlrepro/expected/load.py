"""Reading `expected/<paper>/table_<id>.toml`; unknown keys are errors, so that a slip cannot silently drop a cell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.cells import IDEM
from mtlrepro.expected.protocols import load_vocabulary
from mtlrepro.expected.schema import (
    RESOURCES,
    UNITS,
    Claim,
    Column,
    KnownDeviation,
    Part,
    Place,
    PrintedRow,
    PrintedTable,
)
from mtlrepro.expected.tomlfile import build, check_known, read_toml, take_all, take_tables

SCHEMA_VERSION = 2

MEAN_OF_LAST = "mean of last "
"""Selection rule with a number of evaluations behind it."""

SELECTIONS = ("last", "best on test", f"{MEAN_OF_LAST}10", "unknown")
"""Which weights the authors judged."""

FILES = ("findings.toml", "audit.toml")
"""What a paper's folder may hold besides its tables."""


def table_file(root: Path, paper: str, table: str) -> Path:
    """Where a table is kept."""
    return root / paper / f"table_{table}.toml"


def table_files(root: Path) -> list[Path]:
    """All table files below `expected/`, in natural order (2a before 10).

    Raises:
        SpecError: no such folder, or no table in it.
    """
    folders = (
        [f for f in root.iterdir() if f.is_dir() and f.name != "measured" and f.name[0] != "."] if root.is_dir() else []
    )
    files = [f for folder in folders for f in folder.iterdir() if f.name not in FILES and f.name[0] != "."]
    for file in files:
        if not re.fullmatch(r"table_\w+\.toml", file.name) or not file.is_file():
            mend = f"A paper's folder holds table_<id>.toml, {' and '.join(FILES)} alone"
            raise SpecError("does not belong here", file=file, mend=mend)
    if not files:
        raise SpecError("no tables", file=root, mend="Run from the checkout, or name the folder with --expected")
    return sorted(files, key=lambda f: (f.parent.name, natural(f.stem)))


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that orders runs of digits by value.

    Example:
        >>> sorted(["10", "2a", "S1", "2"], key=natural)
        ['2', '2a', '10', 'S1']
    """
    return [(int(p), "") if p.isdigit() else (1 << 30, p) for p in re.split(r"(\d+)", text) if p]


def load_all(root: Path) -> Iterator[PrintedTable]:
    """Every table below `expected/`."""
    for file in table_files(root):
        yield load_table(file)


@cache
def load_table(path: Path) -> PrintedTable:
    """Read and check one table file.

    Raises:
        SpecError: missing file, invalid TOML, another schema version, unknown or missing key, a value of another
            type or outside its range, a cell of an unknown column or that is no number, a duplicate row, a name
            that does not exist; each with file, field and mend.
    """
    raw = read_toml(path)
    version = raw.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        text = f"schema version {version!r}, this program reads {SCHEMA_VERSION}"
        raise SpecError(text, file=path, field="schema_version", mend=f"Set it to {SCHEMA_VERSION}")
    check_known("key", raw, [f.name for f in fields(PrintedTable) if f.name != "file"], path, "table")
    said: dict[str, Any] = {"file": path}
    if "baseline" in raw:
        said["baseline"] = _place(raw.pop("baseline"), path, "baseline")
    kinds: dict[str, Any] = {"columns": Column, "sets": Part, "groups": Part, "rows": PrintedRow}
    for key, cls in kinds.items():
        said[key] = tuple(_entry(cls, e, path, f"{key}[{i}]") for i, e in enumerate(take_tables(raw, key, path)))
    said["claims"] = tuple(take_all(Claim, raw, "claims", path))
    said["deviations"] = tuple(take_all(KnownDeviation, raw, "deviations", path))
    table = build(PrintedTable, {**raw, **said}, path, "table")
    for name, says, is_ in (("paper", table.paper, path.parent.name), ("table", table.table, path.stem[6:])):
        if says != is_:
            mend = "Make the file's name and folder agree with it"
            raise SpecError(f"says {says!r}, its place says {is_!r}", file=path, field=name, mend=mend)
    _Check(table).all()
    return table


def _entry(cls: Any, entry: dict[str, Any], path: Path, where: str) -> Any:
    """A column, row, set or group, with its places built."""
    name = entry.get("key", entry.get("name"))
    where += f" {name!r}" if name else ""
    built: dict[str, Any] = {k: _place(entry[k], path, f"{where}.{k}") for k in ("baseline", "metrics") if k in entry}
    repeats = entry.get("repeats")
    if isinstance(repeats, list):
        built["repeats"] = tuple(_place(p, path, f"{where}.repeats[{i}]") for i, p in enumerate(repeats))
    return build(cls, {**entry, **built}, path, where)


def _place(value: Any, path: Path, where: str) -> Place:
    if not isinstance(value, dict):
        mend = "Write it as { row = ... }, with paper, table, group or set where they differ"
        raise SpecError(f"unexpected value {value!r}", file=path, field=where, mend=mend)
    return build(Place, value, path, where)


class _Check:
    """Everything that types alone do not say; SpecError with file, field and mend."""

    def __init__(self, table: PrintedTable):
        self.table, self.file = table, table.file
        self.vocabulary = load_vocabulary(table.file.parent.parent / "protocols.toml")
        self.rows = [r.id for r in table.rows]
        self.keys = [c.key for c in table.columns]
        places = [table.baseline, *(part.baseline for part in (*table.sets, *table.groups))]
        self.baselines = [place for place in places if place is not None]

    def all(self) -> None:
        self.uniqueness()
        for i, column in enumerate(self.table.columns):
            self.column(column, f"columns[{i}] {column.key!r}")
        for i, row in enumerate(self.table.rows):
            self.row(row, f"rows[{i}] {row.id!r}")
        for i, claim in enumerate(self.table.claims):
            self.claim(claim, f"claims[{i}]")
        for i, deviation in enumerate(self.table.deviations):
            self.deviation(deviation, f"deviations[{i}]")

    def refuse(self, problem: str, where: str, mend: str) -> None:
        raise SpecError(problem, file=self.file, field=where, mend=mend)

    def known(self, kind: str, name: str, known: list[str], where: str) -> None:
        if name not in known:
            raise unknown(kind, name, known, file=self.file, field=where)

    def uniqueness(self) -> None:
        table = self.table
        count = table.selection.removeprefix(MEAN_OF_LAST)
        if count == table.selection or not count.isdecimal() or int(count) < 1:
            self.known("selection", table.selection, list(SELECTIONS), "selection")
        if table.runs < 1:
            self.refuse(f"{table.runs} runs", "runs", "Give the number of runs behind a cell, 1 if it is not stated")
        sets, groups = [s.key for s in table.sets], [g.key for g in table.groups]
        for kind, names in (("columns", self.keys), ("rows", self.rows), ("sets", sets), ("groups", groups)):
            if twice := sorted({n for n in names if names.count(n) > 1}):
                self.refuse(f"{twice[0]!r} is there twice", kind, "Remove or rename one")
        for i, part in enumerate(table.sets):
            if part.idem:  # an earlier one, so that no two refer to each other
                self.known("set", part.idem, sets[:i], f"sets {part.key!r}.idem")

    def column(self, column: Column, where: str) -> None:
        for name, value, known in (
            ("better", column.better, ("higher", "lower")),
            ("unit", column.unit, UNITS),
            ("set", column.set, [s.key for s in self.table.sets] or [""]),
        ):
            self.known({"better": "direction"}.get(name, name), value, list(known), f"{where}.{name}")
        if column.metric not in (*RESOURCES, "delta_m") and not re.fullmatch(r"\w+\.\w+", column.metric):
            mend = f"Use <task>.<figure>, delta_m, {', '.join(RESOURCES)}"
            self.refuse(f"unknown metric {column.metric!r}", f"{where}.metric", mend)
        self.vocabulary.check(column.metric, column.protocol, column.better, column.unit, file=self.file, field=where)
        if column.relative and column.metric not in RESOURCES:
            self.refuse(f"{column.metric} is relative", f"{where}.relative", "Only resources can be")
        if (column.metric == "delta_m") != bool(column.over):
            mend = "Name the metrics of delta_m, and of it alone"
            self.refuse(f"averages {len(column.over)} metrics", f"{where}.over", mend)
        for metric in column.over:
            task, _, figure = metric.partition(".")
            self.known("task", task, list(self.vocabulary.tasks), f"{where}.over")
            self.known("figure", figure, self.vocabulary.figures(), f"{where}.over")
        if column.baseline and not column.over:
            self.refuse("a baseline of its own", f"{where}.baseline", "Only delta_m has one; others use the panel's")
        parts = (self.table.part("sets", column.set), *self.table.groups)
        places = (self.table.baseline, column.baseline, *(part.baseline for part in parts))
        if (column.relative or column.over) and not any(place is not None for place in places):
            mend = f"Name the row that column {column.key!r} refers to, or row = '' if it is not printed"
            self.refuse("no baseline row", "baseline.row", mend)

    def row(self, row: PrintedRow, where: str) -> None:
        self.known("group", row.group, [g.key for g in self.table.groups] or [""], f"{where}.group")
        self.known("origin", row.origin, ["run", "quoted"], f"{where}.origin")
        if (row.origin == "quoted") != bool(row.source):
            mend = "Quoted rows have one, others none"
            self.refuse(f"origin {row.origin!r} with source {row.source!r}", f"{where}.source", mend)
        check_known("column", row.cells, self.keys, self.file, f"{where}.cells")
        for name, remarks in (("doubts", row.doubts), ("set_aside", row.set_aside)):
            check_known("column", remarks, self.keys, self.file, f"{where}.{name}")
            for key, text in remarks.items():
                if not isinstance(text, str):
                    self.refuse(f"{text!r} is not a string", f"{where}.{name}.{key}", "Write a sentence")
        for key, text in row.set_aside.items():
            if not text.strip():
                self.refuse("no reason", f"{where}.set_aside.{key}", "Say why no figure should be held to the cell")
        for key, text in row.cells.items():
            cell = self.table.parsed[row.id, key]  # refuses what is no number
            column = self.table.column(key)
            if isinstance(text, str) and text.startswith("?") and key not in row.doubts:
                self.refuse(f"{text!r} without a doubt", f"{where}.doubts", f"Say why {key} is not in the print")
            relative = column.relative and row.name not in [place.row for place in self.baselines]
            if text == IDEM and self.table.value(row, column) is None:
                mend = "Give the column's set an `idem`, and the row a number there"
                self.refuse("'idem' repeats nothing", f"{where}.{key}", mend)
            signed = column.metric == "delta_m" or relative
            kind = "" if relative else {"h": "time", "GiB": "GiB"}.get(column.unit, "")
            if cell and ((cell.value < 0 and not signed) or cell.kind != kind):
                mend = (
                    f"Cells of {column.metric} in {column.unit or 'no unit'} are neither negative nor of another form"
                )
                self.refuse(f"{cell.text!r} does not fit", f"{where}.{key}", mend)
            if cell and column.metric in RESOURCES and cell.percent != relative:
                mend = "Relative cells, and they alone, end in a percent sign; the baseline row's are absolute"
                self.refuse(f"{cell.text!r} does not fit", f"{where}.{key}", mend)

    def claim(self, claim: Claim, where: str) -> None:
        for name in (claim.row, *claim.over):
            self.known("row", name, self.rows, where)
        for name in (*claim.columns, *claim.over_columns):
            self.known("column", name, self.keys, f"{where}.columns")
        if not claim.columns or not claim.over:
            mend = "Name the rows and columns the claim is about"
            self.refuse("names no column or no other row", where, mend)
        if claim.over_columns and len(claim.over_columns) != len(claim.columns):
            self.refuse("differs in length from columns", f"{where}.over_columns", "Give one for each of columns")
        if claim.row in claim.over and not claim.over_columns:
            self.refuse(f"{claim.row!r} against itself", f"{where}.over", "Name another row, or over_columns")
        if [c.text for c in self.table.claims].count(claim.text) > 1:
            self.refuse(f"{claim.text!r} is there twice", f"{where}.text", "Give every claim a text of its own")
        for mine, theirs in zip(claim.columns, claim.over_columns, strict=False):
            a, b = self.table.column(mine), self.table.column(theirs)
            if (a.figure, a.unit, a.relative) != (b.figure, b.unit, b.relative):
                self.refuse(f"{mine!r} against {theirs!r}", f"{where}.over_columns", "Compare a figure with itself")
        sides = [{self.table.column(k).set for k in keys} for keys in (claim.columns, claim.over_columns)]
        if claim.over_columns and max(map(len, sides)) > 1:
            self.refuse("columns of several sets", f"{where}.over_columns", "Write one claim for each set")

    def deviation(self, deviation: KnownDeviation, where: str) -> None:
        self.known("row", deviation.row, self.rows, f"{where}.row")
        self.known("column", deviation.column, self.keys, f"{where}.column")
        if not math.isfinite(deviation.observed) or not re.fullmatch(r"\d{4}-\d\d-\d\d", deviation.date):
            mend = "Give a finite `observed` and a `date` such as 2026-11-22"
            self.refuse(f"observed {deviation.observed}, date {deviation.date!r}", where, mend)
        if self.table.column(deviation.column).metric not in RESOURCES:
            mend = "A trained figure never repeats within 1 %: only resources can be registered"
            self.refuse(f"{deviation.column!r} is trained", f"{where}.column", mend)
