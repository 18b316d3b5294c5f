"""Orderings that a paper asserts: do its own printed figures show them?"""

from __future__ import annotations

from collections.abc import Iterator

from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import Reading
from mtlrepro.expected.panel import Ordering, Panel, panels
from mtlrepro.expected.schema import Column


def claim_items(panel: Panel, readings: tuple[Reading, ...]) -> Iterator[Item]:
    """An item for every claim of a panel; `off` is the smallest printed gain, negative where the print says otherwise.

    A claim holds in print if the row is better on every column against every rival; equal prints do not show it.
    """
    siblings = {p.key: p for p in panels(panel.printed)}
    for claim in panel.claims:
        gains: list[tuple[float, str]] = []
        lost = []
        for mine, theirs in claim.columns:
            column, other_column = panel.printed.column(mine), panel.printed.column(theirs)
            for key, name in claim.rivals:
                cell, other = _printed(panel, claim.row, column), _printed(siblings.get(key), name, other_column)
                if cell is None or other is None:
                    lost.append(f"{column.title} of {claim.row if cell is None else name}")
                    continue
                sign = 1.0 if column.better == "higher" else -1.0
                text = f"{column.title} against {name}: {cell[0]}, {other[0]}"
                gains.append((sign * (cell[1] - other[1]), text))
        worst = min(gains, default=(0.0, ""))
        against = [text for gain, text in sorted(gains) if gain <= 1e-12]
        mine_readings = [r for r in readings if r.kind == "claim" and claim.text in r.claims]
        status = "open" if against else "unchecked" if lost else "follows"
        if against and mine_readings and mine_readings[0].how != "open":
            status = "explained"
        reading = mine_readings[0].text if against and mine_readings else ""
        if status == "unchecked":
            reading = f"not printed: {', '.join(dict.fromkeys(lost))}"
        yield Item(
            "claim", panel.paper, panel.table, panel.key, claim.row, _titles(panel, claim), claim.text, None, None,
            min(worst[0], 0.0), status, "; ".join(against) or f"{len(gains)} printed comparisons", reading,
        )  # fmt: skip


def _titles(panel: Panel, claim: Ordering) -> str:
    return ", ".join(panel.printed.column(mine).title for mine, _ in claim.columns)


def _printed(panel: Panel | None, name: str, column: Column) -> tuple[str, float] | None:
    """A cell's text, and its amount as it can be compared; None where nothing is printed.

    Where others are printed relative to the baseline row, that one is 0 %.
    """
    row = next((r for r in panel.rows if r.name == name), None) if panel else None
    cell = panel.cell(row, column) if panel and row else None
    if panel is None or cell is None:
        return None
    return cell.text, 0.0 if column.relative and not panel.relative(name, column) else cell.value
