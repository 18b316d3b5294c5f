"""One printed table as CSV, LaTeX or Markdown, with measured figures beside the printed ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mtlrepro.errors import unknown
from mtlrepro.expected.load import load_table, table_file, table_files
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.report import words
from mtlrepro.suite.results import TIERS, ColumnInfo, RowResult, SessionResult

LATEX = str.maketrans(
    {
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "→": r"$\rightarrow$",
        "Δ": r"$\Delta$",
        "δ": r"$\delta$",
        "κ": r"$\kappa$",
        "ω": r"$\omega$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "°": r"$^\circ$",
        "–": "--",
        "−": "--",
    }
)
"""Signs that plain LaTeX does not know."""


def export_table(root: Path, name: str, kind: str, report: SessionResult | None = None) -> str:
    """A table's text.

    Args:
        root: `expected/`.
        name: "<paper>/<table>".
        kind: "csv", "latex" or "markdown".
        report: measured figures; a column a tier stands beside every printed column that was measured, and a line
            of each other reading of a printed row that was measured below that row.

    Raises:
        SpecError: no such table.
    """
    known = [f"{f.parent.name}/{f.stem.removeprefix('table_')}" for f in table_files(root)]
    if name not in known:
        raise unknown("table", name, known)
    paper, _, table = name.partition("/")
    printed = load_table(table_file(root, paper, table))
    parts = panels(printed)
    frame = pd.concat([_panel(p, report, len(parts) > 1) for p in parts], ignore_index=True).fillna("")
    if kind == "csv":
        return frame.to_csv(index=False)
    if kind == "markdown":
        return frame.to_markdown(index=False, disable_numparse=True) + "\n"
    caption = re.sub(r"([&%$#_{}])", r"\\\1", f"{printed.caption} ({printed.source})")  # pandas escapes cells alone
    text = frame.to_latex(index=False, escape=True, caption=caption, column_format="l" * frame.shape[1])
    return "% needs \\usepackage{booktabs}\n" + text.translate(LATEX)


def _panel(panel: Panel, report: SessionResult | None, named: bool) -> pd.DataFrame:
    rows = _rows(panel, report)
    frame = pd.DataFrame({"Row": [row.name + (f" ({words.mark(row)})" if words.mark(row) else "") for row in rows]})
    if named:
        frame.insert(0, "Panel", panel.key)
    for column in panel.columns:
        info = ColumnInfo(column.key, column.title, column.unit, column.better, column.protocol)
        texts = [row.printed.get(column.key, "") for row in rows]
        frame[column.title] = texts
        for tier in TIERS:
            figures = [_figure(row, info, tier, texts, panel.relative(row.name, column)) for row in rows]
            if any(figures):
                frame[f"{column.title} (measured, {tier})"] = figures
    return frame


def _figure(row: RowResult, column: ColumnInfo, tier: str, printed: list[str], relative: bool) -> str:
    value = row.measured.get(column.key) if words.cell_tier(row, column) == tier else None
    if value is None:
        return ""
    text = words.measured(value, words.digits(column, [t for t in printed if t])).replace("−", "-")  # for parsers
    return f"{'' if text.startswith('-') else '+'}{text}%" if relative else text


def _rows(panel: Panel, report: SessionResult | None) -> list[RowResult]:
    """The rows as printed, with what the report measured of them; below each its other readings that were measured."""
    place = (panel.paper, panel.table, panel.key)
    tables = report.tables if report is not None else []
    found = [row for t in tables if (t.paper, t.table, t.panel) == place for row in t.rows]
    measured = {row.name: row for row in found}
    lines = []
    for line in panel.rows:
        row = measured.get(line.name, RowResult(line.name))
        lines.append(replace(row, origin=line.origin, printed=dict(line.cells)))
        lines += [row for row in found if words.is_unprinted(row) and row.source == line.name and row.measured]
    return lines
