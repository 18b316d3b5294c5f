"""Small papers written to disk: `expected/` folders with tables of a few rows, and what the audit says of them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from mtlrepro.audit.items import Item
from mtlrepro.audit.run import audit_table
from mtlrepro.expected.load import load_table, table_file

REPOSITORY = Path(__file__).resolve().parents[2]
EXPECTED = REPOSITORY / "expected"

METRICS = {
    "seg": ("semseg.miou", "miou/dataset@1", "%", "higher"),
    "dep": ("depth.rmse", "depth/pooled@1", "m", "lower"),
    "nor": ("normals.mean", "normals/pooled@1", "deg", "lower"),
    "parts": ("parts.miou", "parts/dataset@1", "%", "higher"),
    "sal": ("saliency.miou", "saliency/jaccard@1", "%", "higher"),
    "params": ("params", "params@1", "M", "lower"),
    "road": ("semseg.iou_road", "iou/class@1", "%", "higher"),
    "car": ("semseg.iou_car", "iou/class@1", "%", "higher"),
    "sky": ("semseg.iou_sky", "iou/class@1", "%", "higher"),
}
"""Column key -> metric, protocol, unit, direction."""


def column(key: str, like: str = "", **more: Any) -> dict[str, Any]:
    """A column; `like` is the key in `METRICS` where the column's own key is another one."""
    metric, protocol, unit, better = METRICS[like or key]
    given = {"key": key, "title": key.capitalize(), "metric": metric, "protocol": protocol, "unit": unit}
    return {**given, "better": better, **more}


def delta(*over: str, key: str = "delta", **more: Any) -> dict[str, Any]:
    """A column of Δ_m over the metrics of those keys."""
    given = {"key": key, "title": key.capitalize(), "metric": "delta_m", "protocol": "delta_m@1", "unit": "%"}
    return {**given, "better": "higher", "over": [METRICS[k][0] for k in over], **more}


def row(name: str, group: str = "", **cells: str | dict[str, Any]) -> dict[str, Any]:
    """A row; keywords that are not strings (`metrics=`, `doubts=` ...) are attributes, the others cells."""
    more = {k: v for k, v in cells.items() if not isinstance(v, str)}
    own = {"group": group} if group else {}
    return {"name": name, **own, "cells": {k: v for k, v in cells.items() if isinstance(v, str)}, **more}


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return str(value) if value in (math.inf, -math.inf) or value != value else json.dumps(value, ensure_ascii=False)


def new_root(folder: Path) -> Path:
    """An empty `expected/` with the vocabulary of the real one."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXPECTED / "protocols.toml", folder / "protocols.toml")
    return folder


def write_table(
    root: Path, columns: list[Any], rows: list[Any], table: str = "1", paper: str = "p", **top: Any
) -> Path:
    """Write a table file; its baseline is the row "Base" unless `baseline` says otherwise."""
    given: dict[str, Any] = {"schema_version": 2, "paper": paper, "table": table, "dataset": "nyuv2", "caption": "A"}
    given |= {"source": "P", "selection": "last", "runs": 1, "baseline": {"row": "Base"}, **top}
    given |= {"columns": columns, "rows": rows}
    path = table_file(root, paper, table)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{k} = {toml(v)}\n" for k, v in given.items() if v is not None), encoding="utf-8")
    return path


def write_readings(root: Path, *readings: dict[str, Any], paper: str = "p") -> Path:
    """Write `audit.toml`; entries are about Δ of table 1 and say "because" unless they say otherwise."""
    given = [{"table": "1", "kind": "delta", "text": "because", **reading} for reading in readings]
    path = root / paper / "audit.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"readings = {toml(given)}\n", encoding="utf-8")
    return path


def audited(root: Path, kind: str, table: str = "1", paper: str = "p") -> list[Item]:
    """The items of one kind of a table."""
    return [i for i in audit_table(load_table(table_file(root, paper, table))) if i.kind == kind]


def only(items: list[Item]) -> Item:
    """The only item of a list."""
    assert len(items) == 1, items
    return items[0]
