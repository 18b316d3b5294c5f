"""A session at tier bench, its trainings stood in for, fills the measured side of every table of resources."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from jtr_session import open_session
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.profiling.speed import MEMORY
from mtlrepro.spec import RunSpec
from mtlrepro.suite.evidence import training_length
from mtlrepro.suite.results import TableResult
from mtlrepro.suite.session import Session
from mtlrepro.suite.table import BoundTable, bind, load_suite_file

GIB = 2.0**30
FILES = {
    "jtr": [
        "nyuv2_13_table_6",
        "nyuv2_13_table_18",
        "cityscapes_7_table_7",
        "cityscapes_7_table_19",
        "taskonomy_table_7",
        "taskonomy_table_19",
    ],
    "mti_net": ["nyuv2_table_7a", "pascal_context_table_7b"],
}
PANELS = [
    pytest.param(bound, id=bound.key)
    for paper, names in FILES.items()
    for file in (SUITES / paper / f"test_{name}.py" for name in names)
    for bound in bind(load_suite_file(file), file)
]

PRINTED = {"consistency": "Consistency Reg.", "mtpsl": "MTPSL [33]", "jtr": "Ours (JTR)", "partial": "Supervised MTL"}

FIGURES = {
    "semseg": "miou/dataset@1.miou",
    "parts": "parts/dataset@1.miou",
    "depth": "depth/pooled@1.rmse",
    "normals": "normals/pooled@1.mean",
    "saliency": "saliency/jaccard@1.miou",
    "edges": "odsf/png@1.odsf",
}
"""What Δ_m is of in MTI-Net's tables."""


def speed(step_ms: float, gib: float, forward_ms: float = 0.0) -> dict[str, float]:
    """Steps that take so long, of a process with so much memory; half a GiB of it is its context."""
    reserved = gib * GIB - 0.5 * GIB
    memory = dict(zip(MEMORY, (0.8 * reserved, reserved, gib * GIB, 3 * GIB + gib * GIB), strict=True))
    return {"step_ms": step_ms, "forward_ms": forward_ms, "images_per_s": 1.0, **memory}


class Stopwatch(FakeLauncher):
    """Answers with the speed that amounts to what is printed, on a machine four times as fast."""

    def __init__(self, bound: BoundTable, lacking: str = ""):
        super().__init__(lambda spec: {f"final.{t}.{FIGURES[t]}": 0.5 for t in spec.model.main if t in FIGURES})
        self.bound, self.lacking = bound, lacking

    def result(self, key: str) -> dict[str, Any]:
        answer = super().result(key)
        if "record" in answer:
            found = self.speed(self.jobs[key].run.spec)  # type: ignore[attr-defined]
            answer["record"]["speed"] = {k: v for k, v in found.items() if k != self.lacking}
        return answer

    def speed(self, spec: RunSpec) -> dict[str, float]:
        name = PRINTED.get(spec.objective.name, "")
        if not name:
            return speed(1.0, 1.0)
        hours, gib = self.printed(name, "train_time"), self.printed(name, "vram")
        length = training_length(self.bound.row(name).specs[0], self.bound.row(name).epochs)
        assert length is not None
        return speed(1e3 * 3600 * hours / 4 / length[0], gib)

    def printed(self, row: str, metric: str) -> float:
        panel = self.bound.expected
        (column,) = (c for c in panel.columns if c.metric == metric)
        cell = panel.cell(panel.row(row), column)
        assert cell is not None
        return cell.value


def at_bench(bound: BoundTable, monkeypatch: pytest.MonkeyPatch, runs: Path, lacking: str = "") -> TableResult:
    """The judged panel of a session on a machine with one GPU and no dataset."""
    one, _ = open_session(monkeypatch, runs, lambda spec: {}, gpus=1, data=False, tier="bench")
    one = Session(one.options, Stopwatch(bound, lacking))
    one.plan([(bound, row) for row in bound.rows])
    return one.table(bound)


@pytest.mark.parametrize("bound", PANELS)
def test_every_printed_resource_is_measured(bound: BoundTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = at_bench(bound, monkeypatch, tmp_path)
    for row in result.rows:
        line = bound.line(row.name)
        if line.origin == "quoted":
            continue
        for column in bound.expected.columns:
            if column.metric == "delta_m" and bound.row(row.name).counted:
                continue
            assert math.isfinite(row.measured[column.key].mean), column.key
            if column.metric == "delta_m":
                continue  # measured on scenes, which the print is not of
            checks = [c for c in row.checks if (c.kind, c.subject) == ("resource", column.key)]
            assert [c.measured is not None for c in checks] == [True] * (column.key in row.printed)
            assert not [c for c in checks if c.verdict in ("MISSING", "ERROR")]


@pytest.mark.parametrize("bound", [p for p in PANELS if p.values[0].expected.timed])
def test_a_machine_four_times_as_fast_holds_every_ratio(
    bound: BoundTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = at_bench(bound, monkeypatch, tmp_path)
    verdicts = {c.verdict for row in result.rows for c in row.checks if c.kind == "resource"}
    assert verdicts == {"PASS", "SKIPPED"}
    for row in result.rows:
        for column in bound.expected.columns:
            cell = bound.expected.cell(bound.line(row.name), column)
            assert cell is not None
            factor = 0.25 if column.metric == "train_time" else 1.0
            assert row.measured[column.key].mean == pytest.approx(factor * cell.value)
    assert {c.verdict for c in result.claims} == {"PASS"}


def test_memory_is_that_of_the_process_where_nvml_tells_it_and_reserved_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = next(p.values[0] for p in PANELS if p.values[0].key.endswith("6/SegNet"))
    column = next(c for c in bound.expected.columns if c.metric == "vram")
    whole = at_bench(bound, monkeypatch, tmp_path / "a")
    assert [row.measured[column.key].mean for row in whole.rows] == pytest.approx([17.5, 17.5])
    assert "this process's share" in whole.notes[-1] or "this process's share" in " ".join(whole.notes)
    part = at_bench(bound, monkeypatch, tmp_path / "b", lacking="process_used_bytes")
    assert [row.measured[column.key].mean for row in part.rows] == pytest.approx([17.0, 17.0])
    assert "reserved: the most" in " ".join(part.notes)
    assert {"vram_bytes", "vram_reserved_bytes", "device_used_bytes"} <= set(part.rows[0].resources)
    assert "process_used_bytes" not in part.rows[0].resources
    bare = at_bench(bound, monkeypatch, tmp_path / "c", lacking="vram_bytes")  # no GPU timed these
    assert not any("memory was read" in note for note in bare.notes)
