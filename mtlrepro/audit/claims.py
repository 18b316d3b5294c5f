"""Orderings that a paper asserts: do its own printed figures show them?"""

from __future__ import annotations

from collections.abc import Iterator

from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import Reading
from mtlrepro.expected.panel import Ordering, Panel, panels


def claim_items(panel: Panel, readings: tuple[Reading, ...]) -> Iterator[Item]:
    """An item for every claim of a panel; `off` is the smallest printed gain, negative where the print says otherwise.

    A claim holds in print if the row is better on every column against every rival; equal prints do not show it.
    """
    siblings = {p.key: p for p in panels(panel.printed)}
    for claim in panel.claims:
        gains: list[tuple[float, str]] = []
        lost = []
        row = panel.row(claim.row)
        for mine, theirs in claim.columns:
            column = panel.column(mine)
            for key, name in claim.rivals:
                there = siblings[key]
                cell, other = panel.cell(row, column), there.cell(there.row(name), there.column(theirs))
                if cell is None or other is None:
                    lost.append(f"{column.title} of {name if cell else claim.row}")
                    continue
                sign = 1.0 if column.better == "higher" else -1.0
                gains.append(
                    (sign * (cell.value - other.value), f"{column.title} against {name}: {cell.text}, {other.text}")
                )
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
    return ", ".join(panel.column(mine).title for mine, _ in claim.columns)
