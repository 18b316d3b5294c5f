"""A session result with every verdict, and run directories that look like real ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mtlrepro.suite.results import (
    VERDICTS,
    Check,
    ColumnInfo,
    RowResult,
    RunInfo,
    SessionResult,
    TableResult,
    Value,
)

COLUMNS = [
    ColumnInfo("seg", "Seg ↑", "%", "higher", "miou/dataset@1"),
    ColumnInfo("dep", "Dep ↓", "m", "lower", "depth/pooled@1"),
    ColumnInfo("params", "Params (M)", "M", "lower", "params@1"),
    ColumnInfo("delta", "Δ_m %", "%", "higher", "delta_m@1"),
]
REASON = "full: nyuv2: not found: no folder of datasets is known; bench: no CUDA GPU is visible"


def row(name: str, tier: str | None = "smoke", key: str = "", checks: list[Check] | None = None) -> RowResult:
    return RowResult(
        name=name,
        tier=tier,
        runs=[key] if key else [],
        printed={"seg": "33.18", "dep": "0.667", "params": "8.0", "delta": "- 1.71"},
        measured={"seg": Value(10.57), "dep": Value(0.974), "params": Value(7.879971), "delta": Value(-9.5)}
        if tier
        else {},
        metrics={"semseg.miou": Value(0.1057), "depth.rmse": Value(0.974), "depth.abs_err": Value(0.5)} if tier else {},
        trivial={"semseg.miou": 0.03, "depth.rmse": 1.15, "depth.abs_err": 0.9} if tier else {},
        delta={"own": -9.5, "printed": -70.0, "paper": -1.71} if tier else {},
        resources={"params": 7_879_971, "macs": 22.532e9} if tier else {},
        checks=checks or [],
        not_run=REASON if tier == "smoke" else "",
    )


def smoke_checks() -> list[Check]:
    return [
        Check("printed", "seg", "SKIPPED", expected="33.18", reason=REASON),
        Check("printed", "dep", "SKIPPED", expected="0.667", reason=REASON),
        Check("resource", "params", "PASS", "conformance", "8.0", 7.88, -0.12, 0.29, "tolerance", 1),
        Check("trivial", "depth.rmse", "PASS", "smoke", "<= 1.117 (trivial 1.15)", 0.974, -0.176, 0.03, "margin", 1),
    ]


def session(*tables: TableResult, tier: str = "auto", runs: list[RunInfo] | None = None) -> SessionResult:
    return SessionResult(
        command="pytest suites/",
        created="2026-11-22T00:00:00+00:00",
        tier=tier,
        seconds=100.0,
        environment={"python": "3.11", "cpu": "a <b>CPU</b>"},
        tables=list(tables),
        runs=runs or [],
    )


def table(*rows: RowResult, claims: list[Check] | None = None, paper: str = "mti_net") -> TableResult:
    return TableResult(
        paper, "2a", "nyuv2", "A caption with <b>markup</b>", COLUMNS, list(rows), rows[0].name, claims or [],
        ["A note."], [r.name for r in rows],
    )  # fmt: skip


def smoke_session() -> SessionResult:
    claim = Check("claim", "A beats B", "SKIPPED", expected="A is better", reason=REASON)
    return session(
        table(row("Single <b>task</b>", checks=smoke_checks()), row("MTL", checks=smoke_checks()), claims=[claim])
    )


def full_session() -> SessionResult:
    every = [
        Check(
            "printed",
            "seg",
            v,
            "full",
            "33.18",
            33.0,
            -0.18,
            0.5,
            "spread",
            3,
            0.2,
            reason=f"why {v}",
            p=0.2,
            holm="PASS",
        )
        for v in VERDICTS
    ]
    return session(table(row("Single task", "full", checks=every), row("MTL", "full", checks=every)), tier="full")


def own_session() -> SessionResult:
    rows = [
        row(name, "own", checks=[Check("trivial", "semseg.miou", "PASS", "own", ">= 0.03", 0.4)])
        for name in ("stl", "mtl")
    ]
    for r in rows:
        r.printed, r.delta = {}, {"own": r.delta["own"]}
    result = table(*rows, paper="own")
    result.table, result.dataset, result.notes = "comparison", "street", []
    return session(result, tier="own")


def write_run(root: Path, key: str) -> RunInfo:
    folder = root / key
    (folder / "pictures").mkdir(parents=True)
    lines = [{"step": s, "loss": 5.0 / s, "terms": {"final/semseg": 1.0}, "lr": 1e-3} for s in range(1, 40)]
    lines += [
        {"step": s, "eval": {"final.semseg.miou/dataset@1.miou": s / 100, "final.depth.depth/pooled@1.rmse": math.nan}}
        for s in (20, 40)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "env.json").write_text(json.dumps({"torch": "2.15.0", "gpu": "none"}))
    (folder / "result.json").write_text("{}")
    (folder / "spec.json").write_text(json.dumps({"spec": {"objective": {"name": "supervised"}}}))
    for name in ("0_image", "0_target_semseg", "0_final_semseg"):
        Image.new("RGB", (32, 24), "red").save(folder / "pictures" / f"{name}.png")
    return RunInfo(key, str(folder), "mtl/hrnet_nano", "smoke", 3.0, False, 0)


def illustrated(result: SessionResult, root: Path) -> None:
    """Give every row of a session a run of its own, with two images of two tasks, no picture like another."""
    for i, one in enumerate(row for table in result.tables for row in table.rows):
        run = write_run(root, f"{i:016x}")
        folder = Path(run.directory) / "pictures"
        for old in folder.iterdir():
            old.unlink()
        for image in (0, 1):
            for name in ("image", "target_semseg", "target_depth", "final_semseg", "final_depth"):
                seed = [image, len(name), 0 if name.startswith(("image", "target")) else i + 1]
                pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{image}_{name}.png")
        one.runs = [run.key]
        result.runs.append(run)


def note_figures(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Figure]:
    """The figures that a module of reports draws from now on, none of them made a PNG."""
    figures: list[Figure] = []

    def note(figure: Figure) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(module, "to_png", note)
    return figures
