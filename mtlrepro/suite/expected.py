"""`expected/`: what the papers print, as data. One TOML file a table.

The format is documented in `docs/expected-format.md`; unknown keys are errors, so that a typing slip cannot
silently drop a cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mtlrepro.errors import SpecError, unknown
from mtlrepro.suite.printed import Printed, parse
from mtlrepro.suite.tomlfile import build, check_known, read_toml, take_all, take_tables

SCHEMA_VERSION = 1
RESOURCES = ("params", "macs")
"""Metrics that are counted on the paper's exact model, not trained for."""

UNITS = ("%", "m", "deg", "M", "G", "")


@dataclass(frozen=True)
class Column:
    """One column of a printed table.

    Attributes:
        key: short key used by rows, claims and reports.
        title: heading as printed.
        metric: "<task>.<figure>" ("semseg.miou"), a resource ("params", "macs") or "delta_m".
        protocol: named protocol of the figure, for example "miou/dataset@1".
        unit: "%", "m", "deg", "M", "G" or "".
        better: "higher" or "lower".
        relative: cells below the baseline row are printed relative to it, in percent.
        over: for delta_m: the metrics it averages.
    """

    key: str
    title: str
    metric: str
    protocol: str
    unit: str
    better: str
    relative: bool = False
    over: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Factor from a metric's own unit (fractions, metres, counts) to the column's."""
        return {"%": 100.0, "M": 1e-6, "G": 1e-9}.get(self.unit, 1.0) if self.metric != "delta_m" else 1.0


@dataclass(frozen=True)
class ExpectedRow:
    """One printed row: `origin` is "run", or "quoted" with the `source` the authors copied it from."""

    name: str
    cells: dict[str, Printed | None]
    origin: str = "run"
    source: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Claim:
    """An ordering the paper asserts: `row` beats `over` on every column of `columns`, as said in `quote`."""

    text: str
    row: str
    over: str
    columns: tuple[str, ...]
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
class ExpectedTable:
    """Everything a table file says."""

    paper: str
    table: str
    dataset: str
    caption: str
    source: str
    selection: str
    runs: int
    columns: tuple[Column, ...]
    rows: tuple[ExpectedRow, ...]
    baseline: str
    baseline_table: str = ""
    claims: tuple[Claim, ...] = ()
    deviations: tuple[KnownDeviation, ...] = ()
    notes: tuple[str, ...] = ()
    file: Path = field(default=Path())

    def row(self, name: str) -> ExpectedRow:
        """The printed row of that name.

        Raises:
            SpecError: if there is none, with the nearest names.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise unknown("row", name, [r.name for r in self.rows], file=self.file)

    def column(self, key: str) -> Column:
        """The column of that key (SpecError with the nearest keys if there is none)."""
        for column in self.columns:
            if column.key == key:
                return column
        raise unknown("column", key, [c.key for c in self.columns], file=self.file)

    def printed_metrics(self, row: str) -> dict[str, float]:
        """Metric id -> printed value in the metric's own unit, for the trained metrics of one row."""
        cells = self.row(row).cells
        return {
            c.metric: cell.value / c.scale
            for c in self.columns
            if "." in c.metric and (cell := cells.get(c.key)) is not None
        }

    def relative(self, row: str, column: Column) -> bool:
        """Whether the paper prints this cell relative to the baseline row."""
        return column.relative and row != self.baseline


@cache
def load_table(path: Path) -> ExpectedTable:
    """Read and check one table file.

    Raises:
        SpecError: missing file, invalid TOML, another schema version, unknown or missing key, a value of another
            type or outside its range, a cell of an unknown column, a claim or deviation about an unknown row; each
            with file, field and mend.
    """
    raw = read_toml(path)
    version = raw.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        mend = f"Set it to {SCHEMA_VERSION}"
        raise SpecError(
            f"schema version {version!r}, this program reads {SCHEMA_VERSION}",
            file=path,
            field="schema_version",
            mend=mend,
        )
    columns = tuple(take_all(Column, raw, "columns", path))
    rows = []
    for i, entry in enumerate(take_tables(raw, "rows", path)):
        where = f"rows[{i}] {entry.get('name', '')!r}"
        cells = entry.get("cells", {})
        check_known("column", cells, [c.key for c in columns], path, where)
        parsed = {k: parse(v, file=str(path), field=f"{where}.{k}") for k, v in cells.items()}
        rows.append(build(ExpectedRow, {**entry, "cells": parsed}, path, where))
    baseline = raw.pop("baseline", {})
    if not isinstance(baseline, dict):
        raise SpecError(
            f"unexpected value {baseline!r}", file=path, field="baseline", mend="Write it as [baseline] with a row"
        )
    check_known("key", baseline, ("row", "table"), path, "baseline")
    said = {
        "columns": columns,
        "rows": tuple(rows),
        "baseline": baseline.get("row", ""),
        "baseline_table": baseline.get("table", ""),
        "claims": tuple(take_all(Claim, raw, "claims", path)),
        "deviations": tuple(take_all(KnownDeviation, raw, "deviations", path)),
        "file": path,
    }
    table = build(ExpectedTable, {**raw, **said}, path, "table")
    _check(table)
    return table


def _check(table: ExpectedTable) -> None:
    """Everything that types alone do not say; SpecError with file, field and mend."""

    def refuse(problem: str, where: str, mend: str) -> None:
        raise SpecError(problem, file=table.file, field=where, mend=mend)

    if table.runs < 1:
        refuse(f"{table.runs} runs", "runs", "Give the number of runs behind a printed cell, 1 if it is not stated")
    for kind, names in (("columns", [c.key for c in table.columns]), ("rows", [r.name for r in table.rows])):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            refuse(f"{twice[0]!r} is there twice", kind, "Remove or rename one")
    rows, keys = [r.name for r in table.rows], [c.key for c in table.columns]
    if table.baseline:
        check_known("row", [table.baseline], rows, table.file, "baseline.row")
    for i, column in enumerate(table.columns):
        where = f"columns[{i}] {column.key!r}"
        if column.better not in ("higher", "lower"):
            raise unknown("direction", column.better, ("higher", "lower"), file=table.file, field=f"{where}.better")
        if column.unit not in UNITS:
            raise unknown("unit", column.unit, UNITS, file=table.file, field=f"{where}.unit")
        if column.metric not in (*RESOURCES, "delta_m") and not re.fullmatch(r"\w+\.\w+", column.metric):
            refuse(
                f"unknown metric {column.metric!r}", f"{where}.metric", "Use <task>.<figure>, params, macs or delta_m"
            )
        if column.relative and column.metric not in RESOURCES:
            refuse(f"{column.metric} is relative", f"{where}.relative", f"Only {' and '.join(RESOURCES)} can be")
        if (column.metric == "delta_m") != bool(column.over):
            refuse(
                f"averages {len(column.over)} metrics", f"{where}.over", "Name the metrics of delta_m, and of it alone"
            )
        if (column.relative or column.over) and not table.baseline:
            refuse("no baseline row", "baseline.row", f"Name the row that column {column.key!r} refers to")
    for i, row in enumerate(table.rows):
        where = f"rows[{i}] {row.name!r}"
        if row.origin not in ("run", "quoted"):
            raise unknown("origin", row.origin, ("run", "quoted"), file=table.file, field=f"{where}.origin")
        if (row.origin == "quoted") != bool(row.source):
            refuse(
                f"origin {row.origin!r} with source {row.source!r}",
                f"{where}.source",
                "Quoted rows have one, others none",
            )
        for column in table.columns:
            cell = row.cells.get(column.key)
            if cell and column.metric in RESOURCES and cell.percent != table.relative(row.name, column):
                mend = "Relative cells, and they alone, end in a percent sign; the baseline row's are absolute"
                refuse(f"{cell.text!r} does not fit", f"{where}.{column.key}", mend)
    for i, claim in enumerate(table.claims):
        check_known("row", [claim.row, claim.over], rows, table.file, f"claims[{i}]")
        check_known("column", claim.columns, keys, table.file, f"claims[{i}].columns")
        if not claim.columns:
            refuse("names no column", f"claims[{i}].columns", "Name the columns the claim is about")
    for i, deviation in enumerate(table.deviations):
        check_known("row", [deviation.row], rows, table.file, f"deviations[{i}].row")
        check_known("column", [deviation.column], keys, table.file, f"deviations[{i}].column")
        if table.column(deviation.column).metric not in RESOURCES:
            mend = f"A trained figure never repeats within 1 %: only {' and '.join(RESOURCES)} can be registered"
            refuse(f"{deviation.column!r} is trained", f"deviations[{i}].column", mend)
