"""What a section shows of one table, as data frames of text. HTML and Markdown show the same frames."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mtlrepro.expected.cells import parse
from mtlrepro.report import words
from mtlrepro.report.page import Cell
from mtlrepro.suite.figures import better
from mtlrepro.suite.results import VERDICTS, Check, ColumnInfo, RowResult, TableResult, Value

NONE = words.NONE


def badge(check: Check) -> Cell:
    """A check's verdict, or why it is not compared."""
    text = words.shown(check)
    return Cell(badges=((text, text),)) if text in VERDICTS else Cell(text)


def frame(rows: list[list[Any]], columns: list[str]) -> pd.DataFrame:
    """A frame of text and `Cell`s; columns that are empty throughout are dropped, the first one is kept."""
    empty = ("", NONE)
    keep = [i for i in range(len(columns)) if i == 0 or any(str(row[i]) not in empty for row in rows)]
    return pd.DataFrame([[row[i] for i in keep] for row in rows], columns=[columns[i] for i in keep], dtype=object)


def evidence(row: RowResult) -> str:
    """What stands behind a row's trained figures, in a few words; also that the print is not the authors' own."""
    if words.is_quoted(row):
        return "quoted"
    ran = words.ONLY_COUNTED if words.is_counted(row) else row.tier or "not run"
    return f"{ran}, print quoted" if words.is_copied(row) else ran


def named(row: RowResult) -> Any:
    """A row's name; below it what it is, if it is not printed."""
    return Cell(row.name, words.mark(row)) if words.is_unprinted(row) else row.name


def printed_figures(table: TableResult) -> pd.DataFrame:
    """What the paper prints: one line a row, one column a printed column (and Δ_m where it is not a column)."""
    columns, extra = table.columns, _extra_delta(table, "paper")
    rows = [
        [named(row), *(row.printed.get(c.key, NONE) for c in columns), *_delta_text(row, "paper", extra)]
        for row in table.rows
    ]
    names = ["Row", *(words.heading(c) for c in columns), *(["Δ_m [%] ↑"] if extra else [])]
    return pd.DataFrame(rows, columns=names, dtype=object)


def measured_figures(table: TableResult) -> dict[str, pd.DataFrame]:
    """Tier -> what was measured there, strongest first, in the lines and columns of the printed table.

    A compared cell carries its difference and verdict, one of another reading the difference from the print of the
    row that it reads otherwise, and that print; any other cell is the bare figure.
    """
    frames = {}
    for tier in words.EVIDENCE:
        lines = [[_measured(table, row, i, tier) for i in range(len(table.columns))] for row in table.rows]
        extra = _extra_delta(table, "own")
        deltas = [_delta_text(row, "own", extra) if row.tier == tier else [NONE] * extra for row in table.rows]
        if any(str(cell) != NONE for line in (*lines, *deltas) for cell in line):
            names = ["Row", *(words.heading(c) for c in table.columns), *(["Δ_m [%] ↑"] if extra else [])]
            body = [[named(row), *line, *delta] for row, line, delta in zip(table.rows, lines, deltas, strict=True)]
            frames[tier] = pd.DataFrame(body, columns=names, dtype=object)
    return frames


def _measured(table: TableResult, row: RowResult, index: int, tier: str) -> Any:
    column = table.columns[index]
    value = row.measured.get(column.key)
    if value is None or words.cell_tier(row, column) != tier:
        return NONE
    prints = [p for r in table.rows for p in (r.printed.get(column.key), r.beside.get(column.key)) if p]
    digits = words.digits(column, prints)
    text = _figure(row, column, value, digits)
    if (beside := parse(row.beside.get(column.key, NONE))) is not None:
        gap = words.number(value.mean - beside.value, digits, signed=True)
        return Cell(text, f"{gap} from {row.beside[column.key]}")
    check = words.check_of(row, column)
    if check is None or not words.compared(check) or check.verdict not in words.DECIDED:
        return text
    band = "" if check.band is None else f", band ± {words.number(check.band)}"
    return Cell(text, f"{difference(check)}{band}", ((check.verdict, check.verdict),))


def _figure(row: RowResult, column: ColumnInfo, value: Value, digits: int | None) -> str:
    """A measured figure; one that the paper prints relative to the baseline row is in percent of it."""
    if column.unit != "%" and "%" in (row.printed.get(column.key) or row.beside.get(column.key, "")):
        return words.percent(value.mean, digits)
    return words.measured(value, digits)


def difference(check: Check) -> str:
    """A check's difference as signed text."""
    return "" if check.difference is None else words.number(check.difference, signed=True)


def _extra_delta(table: TableResult, key: str) -> bool:
    return not any(words.is_delta(c) for c in table.columns) and any(key in row.delta for row in table.rows)


def _delta_text(row: RowResult, key: str, wanted: bool) -> list[str]:
    return [words.number(row.delta.get(key), 2, signed=True)] if wanted else []


def row_checks(row: RowResult) -> Cell:
    """A row's checks, counted per verdict."""
    counts = {v: sum(words.verdict(c) == v for c in row.checks) for v in VERDICTS}
    return Cell(badges=tuple((v, f"{n} {v}") for v, n in counts.items() if n))


def comparisons(table: TableResult) -> pd.DataFrame:
    """Every printed cell in long form. Difference, band and verdict stay empty where nothing was compared."""
    lines = []
    for row in (row for row in table.rows if not words.is_unprinted(row)):
        for column in table.columns:
            check, value = words.check_of(row, column), row.measured.get(column.key)
            if column.key not in row.printed and check is None and value is None:
                continue
            tier = words.cell_tier(row, column)
            digits = words.digits(column, [row.printed.get(column.key, "")])
            figure = NONE if value is None else _figure(row, column, value, digits)
            label = f"{figure}, {tier}" if value is not None and tier and tier != "full" else figure
            line = [row.name, words.heading(column), row.printed.get(column.key, NONE), label]
            lines.append([*line, *_band(check)])
    names = [
        "Row",
        "Column",
        "Printed",
        "Measured",
        "Difference",
        "Band",
        "Bound by",
        "n",
        "s",
        "Verdict",
        "Holm",
        "Reason",
    ]
    return frame(lines, names)


def _band(check: Check | None) -> list[Any]:
    if check is None:
        return [""] * 8
    if not words.compared(check):
        return ["", "", "", "", "", badge(check), "", check.reason]
    band = "" if check.band is None else f"± {words.number(check.band)}"
    s = "" if check.s is None else Cell(words.number(check.s), check.s_from)
    holm = Cell(badges=((check.holm, check.holm),)) if check.holm else ""
    return [difference(check), band, check.bound_by, str(check.n or ""), s, badge(check), holm, check.reason]


def other_checks(table: TableResult) -> pd.DataFrame:
    """Checks that are not cells of the paper: trivial predictors and this project's own recorded results."""
    lines = []
    for row in table.rows:
        for check in row.checks:
            if check.kind in ("printed", "resource"):
                continue
            kind = {"trivial": "beats a constant predictor", "recorded": "as recorded before"}.get(
                check.kind, check.kind
            )
            band = "" if check.band is None else f"± {words.number(check.band)}" if check.kind == "recorded" else ""
            line = [row.name, kind, check.subject, check.tier or "", check.expected or "", words.number(check.measured)]
            lines.append([*line, difference(check), band, badge(check), check.reason])
    return frame(
        lines, ["Row", "Check", "Figure", "Tier", "Expected", "Measured", "Difference", "Band", "Verdict", "Reason"]
    )


def deltas(table: TableResult) -> pd.DataFrame:
    """Δ_m per row: as printed, against our baseline row, against the printed baseline (tier full only)."""
    lines = []
    for row in table.rows:
        against = words.number(row.delta.get("printed"), 2, signed=True)
        if "printed" in row.delta and row.tier != "full":
            against = f"not compared ({row.tier or 'not run'})"
        own = words.number(row.delta.get("own"), 2, signed=True)
        if row.delta:
            lines.append([row.name, words.number(row.delta.get("paper"), 2, signed=True), own, evidence(row), against])
    name = words.delta_name(table)
    names = [
        "Row",
        f"Printed {name} [%]",
        f"{name} against our baseline row [%]",
        "Measured at",
        f"{name} against the printed baseline [%]",
    ]
    return frame(lines, names)


def margins(table: TableResult) -> pd.DataFrame:
    """Every metric that has a trivial predictor: the network, the best constant, and the gain (positive is better)."""
    lines = []
    for row in table.rows:
        for metric, reference in row.trivial.items():
            value = row.metrics.get(metric)
            if value is None:
                continue
            sign = 1 if better(metric) == "higher" else -1
            gain = words.percent(100 * sign * (value.mean - reference) / abs(reference)) if reference else NONE
            check = next((c for c in row.checks if c.kind == "trivial" and c.subject == metric), None)
            figures = [words.measured(value, None), words.number(reference), gain]
            lines.append([row.name, metric, row.tier or NONE, *figures, badge(check) if check else ""])
    return frame(lines, ["Row", "Metric", "Tier", "Measured", "Best constant", "Gain", "Verdict"])


def after_last_step(table: TableResult) -> pd.DataFrame:
    """What a table that selects among evaluations would read without that: figures after the last step.

    The selected figure stands in brackets; metrics are in their own units.
    """
    metrics = list(dict.fromkeys(m for row in table.rows for m in row.last))
    lines = [
        [row.name, row.tier or NONE, *(_beside(row.last.get(m), row.metrics.get(m)) for m in metrics)]
        for row in table.rows
        if row.last
    ]
    return frame(lines, ["Row", "Tier", *metrics])


def _beside(last: Value | None, selected: Value | None) -> str:
    if last is None:
        return NONE
    return words.measured(last, None) + (f" ({words.number(selected.mean)})" if selected else "")


_RESOURCES = {  # key -> (heading, factor, decimals, compared with the baseline row)
    "params": ("Params [M]", 1e-6, 2, True),
    "macs": ("MACs [G]", 1e-9, 2, True),
    "train_params": ("Trained params [M]", 1e-6, 2, True),
    "train_macs": ("Training MACs [G/image]", 1e-9, 1, True),
    "step_ms": ("Step [ms]", 1.0, 1, True),
    "images_per_s": ("Images/s", 1.0, 1, False),
    "train_s": ("Training [h]", 1 / 3600, 2, True),
    "vram_bytes": ("VRAM [GiB]", 2.0**-30, 2, True),
    "vram_reserved_bytes": ("VRAM reserved [GiB]", 2.0**-30, 2, True),
    "process_used_bytes": ("VRAM of the process [GiB]", 2.0**-30, 2, False),
    "device_used_bytes": ("VRAM in use on the device [GiB]", 2.0**-30, 2, False),
}


def resources(table: TableResult) -> pd.DataFrame:
    """Cost of the paper's exact networks, absolute and relative to the baseline row."""
    return resource_frame([(table, row, row.name) for row in table.rows if row.resources], "Row")


def resource_frame(lines: list[tuple[TableResult, RowResult, str]], first: str) -> pd.DataFrame:
    """Cost of rows under the given names; `first` heads the names' column."""
    body = []
    for table, row, name in lines:
        baseline = next((r.resources for r in table.rows if r.name == table.baseline), {})
        cells: list[Any] = [name]
        for key, (_, factor, digits, relative) in _RESOURCES.items():
            value, reference = row.resources.get(key), baseline.get(key)
            cells.append(words.number(None if value is None else value * factor, digits))
            if relative and value is not None and reference:
                same = row.name == table.baseline
                cells.append("baseline" if same else words.percent(100 * (value / reference - 1)))
            elif relative:
                cells.append(NONE)
        body.append(cells)
    heads = [
        h
        for name, _, _, relative in _RESOURCES.values()
        for h in ([name, f"{name.split(' [')[0]} vs. baseline"] if relative else [name])
    ]
    return frame(body, [first, *heads])


def claims(table: TableResult) -> pd.DataFrame:
    """The orderings that the paper asserts."""
    known = {row.not_run for row in table.rows if row.not_run}  # said once for all rows, in the report's opening
    lines = [
        [
            c.subject,
            c.expected or "",
            c.tier or "",
            badge(c),
            "see what was not run, and why" if c.reason in known else c.reason,
        ]
        for c in table.claims
    ]
    return frame(lines, ["Claim", "In the paper's words", "Tier", "Verdict", "Reason"])
