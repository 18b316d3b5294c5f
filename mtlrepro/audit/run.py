"""The whole audit."""

from __future__ import annotations

from collections.abc import Sequence

from mtlrepro.audit.claims import claim_items
from mtlrepro.audit.derived import derived_items
from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import load_readings
from mtlrepro.audit.repeats import repeat_items
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.schema import PrintedTable


def audit_table(table: PrintedTable) -> list[Item]:
    """Every item of one table, panel by panel."""
    return [item for panel in panels(table) for item in audit_panel(panel)]


def audit_panel(panel: Panel) -> list[Item]:
    """Every item of one panel: derived values, then repeated ones, then claims."""
    readings = load_readings(panel.file.parent.parent, panel.paper)
    mine = tuple(r for r in readings if r.table == panel.table)
    return [item for part in (derived_items, repeat_items, claim_items) for item in part(panel, mine)]


def unused(tables: Sequence[PrintedTable], items: Sequence[Item]) -> list[str]:
    """Readings that explain no item of their table, a sentence each: out of date, or wrong."""
    said = {(i.paper, i.table, i.reading) for i in items}
    return [
        f"{t.paper}/audit.toml: a {r.kind} reading of table {t.table} explains nothing: {r.text}"
        for t in tables
        for r in load_readings(t.file.parent.parent, t.paper)
        if r.table == t.table and (t.paper, r.table, r.text) not in said
    ]
