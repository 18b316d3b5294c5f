"""What the papers print as a pandas frame, for notebooks and `mtlrepro list --cells`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mtlrepro.expected.load import load_all
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.root import expected_root
from mtlrepro.expected.schema import Column, PrintedRow


def load_expected(folder: str | Path | None = None) -> pd.DataFrame:
    """Every printed cell of every table, one line each, in printed order.

    Columns: paper, table, panel, dataset, row, column (its key), title, metric, protocol, unit, better, over (the
    metrics a Δ_m averages), printed (the string), value and sd (numbers in `unit`, NaN without one), half_unit (of
    the last digit), relative (to the baseline row), origin ("run" or "quoted"), source, baseline (what Δ_m and
    relative cells refer to), selection, runs, doubt.

    Args:
        folder: `expected/`; by default that of the working directory or of the checkout.

    Raises:
        SpecError: no such folder, or a table that does not load.
    """
    root = expected_root(folder)
    lines = [
        _cell(panel, row, column, row.cells[column.key])
        for table in load_all(root)
        for panel in panels(table)
        for row in panel.rows
        for column in panel.columns
        if column.key in row.cells
    ]
    return pd.DataFrame(lines)


def _cell(panel: Panel, row: PrintedRow, column: Column, text: str) -> dict[str, Any]:
    cell = panel.cell(row, column)
    refers = column.over or panel.relative(row.name, column)
    return {
        "paper": panel.paper,
        "table": panel.table,
        "panel": panel.key,
        "dataset": panel.dataset,
        "row": row.name,
        "column": column.key,
        "title": column.title,
        "metric": column.metric,
        "protocol": column.protocol,
        "unit": column.unit,
        "better": column.better,
        "over": ", ".join(panel.averaged(row, column)),
        "printed": text,
        "value": float("nan") if cell is None else cell.value,
        "sd": float("nan") if cell is None or cell.sd is None else cell.sd,
        "half_unit": float("nan") if cell is None else cell.half_unit,
        "relative": panel.relative(row.name, column),
        "origin": row.origin,
        "source": row.source,
        "baseline": str(panel.reference(row, column) or "") if refers else "",
        "selection": panel.printed.selection,
        "runs": panel.runs,
        "doubt": row.doubts.get(column.key, ""),
    }
