"""The whole audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtlrepro.audit.claims import claim_items
from mtlrepro.audit.derived import derived_items
from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import Reading, load_readings
from mtlrepro.audit.repeats import repeat_items
from mtlrepro.expected.load import load_all
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.schema import PrintedTable


def audit(root: Path) -> list[Item]:
    """Every item of every table below `expected/`, table by table."""
    return [item for table in load_all(root) for item in audit_table(table)]


def audit_table(table: PrintedTable) -> list[Item]:
    """Every item of one table, panel by panel."""
    return [item for panel in panels(table) for item in audit_panel(panel)]


def audit_panel(panel: Panel) -> list[Item]:
    """Every item of one panel: derived values, then repeated ones, then claims."""
    readings = load_readings(panel.file.parent.parent, panel.paper)
    mine = tuple(r for r in readings if r.table == panel.table)
    return [item for part in (derived_items, repeat_items, claim_items) for item in part(panel, mine)]


def unused(root: Path, papers: Sequence[str], items: Sequence[Item]) -> list[tuple[str, Reading]]:
    """Readings that explain no item: out of date, or wrong."""
    said = {(i.paper, i.table, i.reading) for i in items}
    return [(p, r) for p in papers for r in load_readings(root, p) if (p, r.table, r.text) not in said]
