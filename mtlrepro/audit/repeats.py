"""Results that are printed more than once, within a paper or across papers: do the prints agree?"""

from __future__ import annotations

from collections.abc import Iterator

from mtlrepro.audit.interval import Interval
from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import Reading
from mtlrepro.expected.panel import Located, Panel, locate, trained
from mtlrepro.expected.schema import Column, PrintedRow


def repeat_items(panel: Panel, readings: tuple[Reading, ...]) -> Iterator[Item]:
    """An item for every cell of a panel whose metric is printed again at one of its row's `repeats`.

    Two prints agree if some value rounds to both. Δ_m is compared where both refer to the same metrics and baseline
    row; prints of other protocols are compared too, since a repeated result has one.
    """
    for row in panel.rows:
        for place in row.repeats:
            there = locate(place, panel.printed, panel.group, panel.set, row.name)
            found = there.values()
            for column in panel.columns:
                cell = panel.cell(row, column)
                if cell is None or cell.reasoned or column.figure not in found:
                    continue
                other_column, other = found[column.figure]
                if other.reasoned or other_column.relative != column.relative:
                    continue
                if column.over and not _same_delta(panel, row, column, there, other_column):
                    continue
                allowed = Interval.of(other, other_column.scale / column.scale)
                off = allowed.distance(Interval.of(cell))
                mine = [r for r in readings if r.kind == "repeat" and r.about(row.id, column.key)]
                status = "follows" if off == 0 else "open"
                cut = allowed.distance(Interval.cut(cell)) == 0
                mine = [r for r in mine if r.how != "truncated" or cut]
                if off and mine and mine[0].how != "open":
                    status = "explained"
                yield Item(
                    "repeat", panel.paper, panel.table, panel.key, row.name, column.title, cell.text,
                    allowed.low, allowed.high, off, status, f"{there}, printed {other.text}",
                    mine[0].text if off and mine else "",
                )  # fmt: skip


def _same_delta(panel: Panel, row: PrintedRow, column: Column, there: Located, other: Column) -> bool:
    """Do two Δ_m average the same metrics against the same printed baseline?"""
    elsewhere = Panel(there.table, there.group, other.set)
    if panel.averaged(row, column) != elsewhere.averaged(there.row, other):
        return False
    bases = [panel.reference(row, column), elsewhere.reference(there.row, other)]
    figures = [trained(b.metrics()) if b else {} for b in bases]
    return all(m in figures[0] and figures[0].get(m) == figures[1].get(m) for m in column.over)
