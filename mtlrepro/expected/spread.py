"""The run-to-run spread that the papers print, pooled per figure: what a reproduction with few seeds can lean on."""

from __future__ import annotations

import math

from mtlrepro.expected.cells import IDEM
from mtlrepro.expected.load import load_table
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.schema import Column


def printed_spread(panel: Panel, column: Column) -> tuple[float, int] | None:
    """Deviation of one run of a figure in the column's unit, pooled over a paper's printed standard deviations.

    Pooled over every cell of the paper that prints one for the same metric, protocol and dataset; a cell of r runs
    has r - 1 degrees of freedom. The same result printed in several tables counts once, a doubtful cell not at all.

    Returns:
        Deviation and degrees of freedom, or None where the paper prints none.
    """
    cells: set[tuple[float, float, int]] = set()
    for file in sorted(panel.file.parent.glob("table_*.toml")):
        table = load_table(file)
        if table.runs < 2:
            continue
        for other in panels(table):
            if other.dataset != panel.dataset:
                continue
            for same in other.columns:
                if (same.metric, same.protocol, same.over) != (column.metric, column.protocol, column.over):
                    continue
                for row in other.rows:
                    cell = other.cell(row, same)
                    repeated = row.cells.get(same.key) == IDEM
                    if cell is None or cell.sd is None or repeated or same.key in row.doubts:
                        continue
                    cells.add((cell.value, cell.sd * column.scale / same.scale, table.runs - 1))
    df = sum(d for _, _, d in cells)
    return (math.sqrt(sum(sd * sd * d for _, sd, d in cells) / df), df) if df else None
