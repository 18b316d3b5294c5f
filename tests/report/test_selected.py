"""What the report shows of tables that select among evaluations, and of tables of time and memory."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image
from report_fakes import REASON, row, session, smoke_checks, smoke_session, table

from mtlrepro.report import tables, words, write_report
from mtlrepro.report.gallery import ORDER, _of_row
from mtlrepro.report.headline import DISCLAIMER, headline
from mtlrepro.report.jsonfile import parse_report
from mtlrepro.report.rundir import read_run
from mtlrepro.suite.results import Check, ColumnInfo, RowResult, SessionResult, TableResult, Value
from mtlrepro.tasks import TASKS

LAST = "After the last step (in brackets: at the selected evaluation)"


def written(result: SessionResult, folder: Path) -> tuple[str, str]:
    write_report(result, folder / "runs", folder / "report")
    return (folder / "report" / "report.md").read_text(), (folder / "report" / "report.html").read_text()


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


# --- selection --------------------------------------------------------------------------------------------------------


def selected() -> TableResult:
    rows = [row("Base", checks=smoke_checks()), row("Ours", checks=smoke_checks()), row("Copied", None)]
    rows[0].last = {"semseg.miou": Value(0.0987), "depth.rmse": Value(1.012, 3, 0.01)}
    rows[1].last = {"semseg.miou": Value(0.0876), "normals.mean": Value(31.0)}
    return table(*rows)


def test_figures_after_the_last_step_stand_beside_the_selected_ones(tmp_path: Path) -> None:
    frame = tables.after_last_step(selected())
    assert list(frame.columns) == ["Row", "Tier", "semseg.miou", "depth.rmse", "normals.mean"]
    assert frame.to_numpy().tolist() == [
        ["Base", "smoke", "0.0987 (0.1057)", "1.012 ± 0.01 (0.974)", "–"],
        ["Ours", "smoke", "0.0876 (0.1057)", "–", "31"],
    ]
    for text in written(session(selected()), tmp_path):
        assert LAST in text
        assert "0.0987 (0.1057)" in text


def test_a_table_that_reads_the_end_says_nothing_of_it(tmp_path: Path) -> None:
    for text in written(smoke_session(), tmp_path):
        assert "After the last step" not in text


def test_they_survive_the_json() -> None:
    again = parse_report(session(selected()).to_json())
    assert again.tables[0].rows[0].last == selected().rows[0].last


# --- time and memory --------------------------------------------------------------------------------------------------

COLUMNS = [
    ColumnInfo("time", "Time ↓", "h", "lower", "time/training@1"),
    ColumnInfo("vram", "VRAM ↓", "GiB", "lower", "vram@1"),
]


def timed_row(name: str, hours: float, gib: float, checks: list[Check]) -> RowResult:
    return RowResult(
        name, tier="bench", printed={"time": "22h 10m", "vram": "14.4GiB"},
        measured={"time": Value(hours), "vram": Value(gib)},
        resources={"params": 1e6, "step_ms": 100.0, "vram_bytes": gib * 2**30, "train_s": hours * 3600}, checks=checks,
    )  # fmt: skip


def timed() -> SessionResult:
    why = "other rows are held to their ratio to this one"
    first = [Check("resource", k, "PASS", "bench", "22h 10m", 2.0, reason=why) for k in ("time", "vram")]
    said = "1.50 times 'MTPSL' (print 1.07, band ±0.20)"
    second = [Check("resource", "time", "FAIL", "bench", "23h 45m", 3.0, 0.43, 0.2, "tolerance", 1, reason=said)]
    claim = Check("claim", "MTPSL is faster", "PASS", "bench", "as the paper says", n=1)
    rows = [timed_row("MTPSL", 2.0, 5.0, first), timed_row("JTR", 3.0, 6.5, second)]
    result = TableResult("jtr", "7", "cityscapes_7", "Time", COLUMNS, rows, "MTPSL", [claim], [], ["MTPSL", "JTR"])
    return session(result)


def test_ratios_are_shown_with_their_verdict_though_the_scenes_are_synthetic(tmp_path: Path) -> None:
    markdown, html = written(timed(), tmp_path)
    text = unescape(re.sub(r"<[^>]+>", " ", html))
    for shown in (markdown, text):
        assert "3.00" in shown  # hours have two decimals
        assert "1.50 times 'MTPSL' (print 1.07, band ±0.20)" in shown
        assert "held to their ratios between rows" in shown
        assert "Training [h]" in shown.replace("\\", "")
        assert "not compared" not in shown
    assert "+50.0 %" in text  # of the first row's hours


def test_the_first_line_counts_them_apart_from_what_needs_no_training() -> None:
    first = headline(timed()).sentences[0]
    assert first.startswith(DISCLAIMER)
    assert "3 figures of time and memory" in first
    assert "2 PASS, 1 FAIL" in first
    assert "parameter" not in first
    assert "nothing ran at tier full" in first
    counted = headline(smoke_session()).sentences[0]
    assert "2 parameter or MAC counts that need no training (2 PASS)" in counted
    assert "time and memory" not in counted


@pytest.mark.parametrize(
    ("tier", "compared"), [("smoke", False), ("bench", True), ("conformance", True), ("full", True)]
)
def test_claims_count_from_bench_up(tier: str, compared: bool) -> None:
    assert words.compared(Check("claim", "A is faster", "PASS", tier)) == compared
    assert words.compared(Check("printed", "seg", "PASS", tier)) == (tier == "full")


def test_a_table_of_times_that_was_not_run_gives_the_reason(tmp_path: Path) -> None:
    one = timed()
    for r in one.tables[0].rows:
        r.tier, r.measured, r.resources, r.not_run = "smoke", {}, {}, REASON
        r.checks = [Check("resource", k, "SKIPPED", expected="22h 10m", reason=REASON) for k in ("time", "vram")]
    markdown, _ = written(one, tmp_path)
    assert "no CUDA GPU is visible" in markdown
    assert "held to their ratios" not in markdown


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_every_task_has_its_place_in_a_sheet(tmp_path: Path) -> None:
    assert set(TASKS) <= set(ORDER)
    pictures = tmp_path / "a" / "pictures"
    pictures.mkdir(parents=True)
    for task in ("texture", "semseg", "occlusion"):
        for kind in ("target", "final"):
            Image.new("RGB", (8, 6)).save(pictures / f"0_{kind}_{task}.png")
    found = _of_row(row("JTR", key="a"), 0, {"a": read_run(tmp_path / "a")})
    assert sorted(found, key=ORDER.index) == ["semseg", "occlusion", "texture"]
