"""Two nights: made-up stores and reports with known differences, read and compared as the command line does it."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_fakes import body, make_spec

from mtlrepro.cli import main
from mtlrepro.errors import StoreError
from mtlrepro.report.difference import difference_page, difference_text
from mtlrepro.report.html import render_page_html
from mtlrepro.report.writer import write_atomic
from mtlrepro.suite import stats
from mtlrepro.suite.difference import ROUNDING, Difference, compare, judge
from mtlrepro.suite.failure import Failure
from mtlrepro.suite.nights import read_night, report_night
from mtlrepro.suite.results import Check, ColumnInfo, RowResult, SessionResult, TableResult, Value
from mtlrepro.suite.store import SCHEMA_VERSION, Run

ENVIRONMENT = {"torch": "2.15.0", "cpu": "one", "cores": "2", "gpu": "none", "host": "here", "commit": "abc"}
MIOU, RMSE = "final.semseg.miou/dataset@1.miou", "final.depth.depth/pooled@1.rmse"


def write(root: Path, lr: float = 1e-3, seed: int = 0, program: str = "p", tier: str = "smoke", **record: Any) -> Path:
    """A run that is done; `metrics` are those of `body` updated, "rmse" and "miou" for short."""
    run = Run(make_spec(lr=lr), seed, tier, program=program * 16, data="d" * 16)
    folder = root / run.key
    folder.mkdir(parents=True)
    metrics = {MIOU: record.pop("miou", 0.5), RMSE: record.pop("rmse", 0.9), **record.pop("metrics", {})}
    whole = {"schema_version": SCHEMA_VERSION, "key": run.key, **body(), "metrics": metrics}
    environment = {**ENVIRONMENT, **record.pop("environment", {})}
    (folder / "spec.json").write_text(json.dumps(run.identity()))
    (folder / "env.json").write_text(json.dumps(environment))
    (folder / "result.json").write_text(json.dumps({**whole, **record}))
    lines = [{"step": i, "loss": 3.0 / i, "lr": lr, "terms": {}} for i in range(1, 9)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def nights(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "last", tmp_path / "tonight"


def compared(last: Path, now: Path, **known: Any) -> Difference:
    return compare(read_night(last), read_night(now), **known)


def by_figure(found: Difference) -> dict[str, str]:
    (pair,) = found.pairs
    return {change.figure: change.kind for change in pair.changes}


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_store_and_its_copy_are_identical_whatever_program_made_them(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    for seed in (0, 1):
        write(last, seed=seed, rmse=math.nan if seed else 0.9)
        write(now, seed=seed, rmse=math.nan if seed else 0.9, program="q")
    found = compared(last, now)
    assert [(pair.kind, pair.seeds, pair.causes) for pair in found.pairs] == [("identical", [0, 1], ["program"])]
    assert (found.worse, found.changed, found.moves) == (False, False, [])


@pytest.mark.parametrize(
    ("figure", "value", "kind"),
    [
        ("rmse", 0.91, "worse"),
        ("rmse", 0.89, "better"),
        ("rmse", 0.9 * (1 + ROUNDING / 2), "within"),
        ("rmse", math.nan, "worse"),
        ("rmse", math.inf, "worse"),
        ("miou", 0.49, "worse"),
        ("miou", 0.51, "better"),
    ],
)
def test_without_a_known_spread_a_figure_must_be_equal(figure: str, value: float, kind: str, tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    write(last)
    write(now, **{figure: value})
    found = compared(last, now)
    assert found.pairs[0].changes[0].kind == found.pairs[0].kind == kind
    assert (found.worse, found.changed) == (kind == "worse", True)


def test_the_band_is_that_of_a_new_draw_at_one_percent_over_all_figures_that_differ(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    values = [0.90, 0.94, 0.92]
    s, df = stats.pooled([values, values])  # type: ignore[misc]
    band = stats.half_width(s, df, n=3, m=3, alpha=0.01)
    for inside in (True, False):
        shift = band * (0.99 if inside else 1.01)
        for seed, value in enumerate(values):
            write(last, seed=seed, rmse=value)
            write(now, seed=seed, rmse=value + shift)
        found = compared(last, now)
        (change,) = [c for c in found.pairs[0].changes if c.figure == RMSE]
        assert change.kind == ("within" if inside else "worse")
        assert change.band == pytest.approx(band)
        assert change.difference == pytest.approx(shift)
        shutil.rmtree(last)
        shutil.rmtree(now)


def test_a_recorded_spread_serves_where_both_nights_have_one_seed(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    write(last)
    write(now, rmse=0.95, miou=0.3)
    asked = []

    def known(figure: str, tier: str) -> tuple[float, int] | None:
        asked.append((figure, tier))
        return (0.05, 10) if figure == RMSE else None

    assert by_figure(compared(last, now, known=known)) == {MIOU: "worse", RMSE: "within"}
    assert sorted(asked) == [(RMSE, "smoke"), (MIOU, "smoke")]


def test_figures_that_judge_nothing_are_counted(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    extra = {"final.semseg.miou/dataset@1.pixel_acc": 0.7, "final.semseg.iou/class@1.iou_bed": 0.1, "odd": 1.0}
    write(last, metrics=extra)
    write(now, metrics={**extra, "final.semseg.iou/class@1.iou_bed": 0.2})
    (pair,) = compared(last, now).pairs
    assert (pair.kind, pair.others, [c.kind for c in pair.changes]) == ("within", (1, 3), ["identical"] * 2)


@given(
    st.floats(-10, 10), st.floats(-10, 10), st.floats(1e-6, 5), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9)
)
def test_nights_exchanged_exchange_worse_and_better(a: float, b: float, s: float, df: int, n: int, m: int) -> None:
    opposite = {"worse": "better", "better": "worse", "within": "within"}
    one, other = Value(a, n), Value(b, m)
    for spread in (None, (s, df)):
        kind, band = judge(RMSE, one, other, spread, 0.01)
        assert judge(RMSE, other, one, spread, 0.01) == (opposite[kind], band)
        assert judge(MIOU, one, other, spread, 0.01) == (opposite[kind], band)


# --- what is behind, time, memory -------------------------------------------------------------------------------------


def test_causes_are_named(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    write(last)
    write(now, program="q", rmse=1.0, environment={"torch": "2.16.0", "cores": "8", "host": "there", "commit": "def"})
    (pair,) = compared(last, now).pairs
    assert pair.causes == ["program", "machine one-2-cores → one-8-cores", "torch 2.15.0 → 2.16.0"]
    shutil.rmtree(now)
    write(now, rmse=1.0)
    page = difference_text(difference_page(compared(last, now)))
    assert "1 run should have repeated bit by bit: nothing behind it is known to differ." in page


@pytest.mark.parametrize(
    ("tier", "machine", "kinds"),
    [
        ("bench", "one", ["within", "worse", "better"]),
        ("smoke", "one", ["within"] * 3),
        ("bench", "two", ["within"] * 3),
    ],
)
def test_time_and_memory_are_held_to_limits_where_they_mean_something(
    tier: str, machine: str, kinds: list[str], tmp_path: Path
) -> None:
    last, now = nights(tmp_path)
    write(last, tier=tier, speed={"step_ms": 100.0, "vram_bytes": 2.0**30}, seconds={"train": 10.0})
    later = {"step_ms": 121.0, "vram_bytes": 0.9 * 2.0**30}
    write(now, tier=tier, speed=later, seconds={"train": 90.0}, environment={"cpu": machine})
    found = compared(last, now, limits={"step_ms": 1.2, "vram_bytes": 1.05})
    (pair,) = found.pairs
    assert [ratio.name for ratio in pair.ratios] == ["train_s", "step_ms", "vram_bytes"]
    assert [ratio.kind for ratio in pair.ratios] == kinds
    assert [round(ratio.ratio, 2) for ratio in pair.ratios] == [9.0, 1.21, 0.9]
    assert found.worse == ("worse" in kinds)


# --- ends of runs -----------------------------------------------------------------------------------------------------


def unfinish(folder: Path, failed: bool = False, began: bool = True) -> None:
    (folder / "result.json").unlink()
    if not began:
        (folder / "env.json").unlink()
    if failed:
        mark = Failure("the loss is nan", file="", field="", mend="", host="h", time="t", environment={})
        (folder / "failed.json").write_text(json.dumps(asdict(mark)))


def test_new_gone_failed_unfinished_and_mended_runs_are_told_apart(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    for i, ends in enumerate(
        ["done gone", "new done", "done failed", "done unfinished", "failed done", "failed failed"]
    ):
        for root, state in zip((last, now), ends.split(), strict=True):
            if state not in ("gone", "new"):
                folder = write(root, lr=1e-3 * (i + 1))
                if state != "done":
                    unfinish(folder, state == "failed")
    found = compared(last, now)
    assert found.pairs == []
    assert sorted((m.last, m.now, m.worse) for m in found.moves) == [
        ("", "done", False),
        ("done", "", False),
        ("done", "failed", True),
        ("done", "unfinished", True),
        ("failed", "done", False),
        ("failed", "failed", True),
    ]
    assert [m.worse for m in found.moves] == [True] * 3 + [False] * 3
    assert {m.reason for m in found.moves if m.now == "failed"} == {"the loss is nan (h, t)"}


def test_a_planned_run_that_nobody_began_is_not_there(tmp_path: Path) -> None:
    last, _ = nights(tmp_path)
    write(last)
    unfinish(write(last, lr=2e-3), began=False)
    assert len(read_night(last).entries) == 1


def test_a_damaged_record_is_a_failed_run_and_hides_no_other(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    for root in (last, now):
        write(root)
        folder = write(root, lr=2e-3)
    (folder / "result.json").write_text("{")
    found = compared(last, now)
    assert [pair.kind for pair in found.pairs] == ["identical"]
    (move,) = found.moves
    assert (move.now, found.worse) == ("failed", True)
    assert "result.json: not valid JSON" in move.reason


def test_of_several_programs_runs_the_last_finished_one_counts(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    write(last)
    for age, (program, rmse) in enumerate([("a", 0.7), ("b", 0.9), ("c", 0.8)]):
        folder = write(now, program=program, rmse=rmse)
        os.utime(folder / "spec.json", (age, age))
    unfinish(folder)
    found = compared(last, now)
    assert (found.superseded, found.pairs[0].kind, found.moves) == (2, "identical", [])


def test_a_run_of_an_older_program_is_matched_by_what_it_said(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    for root in (last, now):
        folder = write(root)
        identity = json.loads((folder / "spec.json").read_text())
        identity["spec"]["recipe"]["temperature"] = 2.0
        (folder / "spec.json").write_text(json.dumps(identity))
    (pair,) = compared(last, now).pairs
    assert pair.kind == "identical"
    assert "settings that are not known here" in pair.label


# --- reports ----------------------------------------------------------------------------------------------------------


def report(rmse: float, verdict: str = "PASS", error: str = "") -> SessionResult:
    column = ColumnInfo("dep", "Dep", "m", "lower", "depth/pooled@1")
    broken = [Check("run", "training", "ERROR", reason=error)] if error else []
    checks = [Check("trivial", "depth.rmse", verdict, "smoke"), *broken]
    metrics = {} if error else {"depth.rmse": Value(rmse, 3, 0.02)}
    ours = RowResult("Ours", tier="smoke", runs=["k"], metrics=metrics, checks=checks)
    claims = [Check("claim", "Ours is best", verdict, "smoke")]
    quoted = RowResult("Copied", origin="quoted")
    table = TableResult("p", "1", "nyuv2", "c", [column], [ours, quoted], claims=claims, row_names=["Ours", "Copied"])
    return SessionResult("pytest", "2026-11-23T01:00:00+00:00", "smoke", 1.0, dict(ENVIRONMENT), [table], [])


def test_rows_of_reports_are_compared_with_their_own_spread_and_verdicts_that_turn_are_named() -> None:
    last = report_night("last", report(0.90))
    band = stats.half_width(0.02, 4, n=3, m=3, alpha=0.01)
    for value, kind in ((0.90, "identical"), (0.90 + 0.9 * band, "within"), (0.90 + 1.1 * band, "worse")):
        found = compare(last, report_night("now", report(value)))
        assert [pair.kind for pair in found.pairs] == [kind]
    found = compare(last, report_night("now", report(0.90, "FAIL")))
    assert [(t.where, t.kind, t.last, t.now, t.worse) for t in found.turns] == [
        ("p/nyuv2/1 [Ours]", "trivial", "PASS", "FAIL", True),
        ("p/nyuv2/1", "claim", "PASS", "FAIL", True),
    ]
    assert (found.worse, found.checks, found.moves) == (True, 2, [])
    back = compare(report_night("now", report(0.90, "FAIL")), last)
    assert (back.worse, back.changed) == (False, True)


def test_a_row_whose_run_failed_is_told_with_its_reason() -> None:
    found = compare(report_night("last", report(0.9)), report_night("now", report(0.9, error="it broke")))
    assert [(m.label, m.last, m.now, m.reason) for m in found.moves] == [
        ("p/nyuv2/1 [Ours]", "done", "failed", "it broke")
    ]
    assert found.worse


def test_tables_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no row that was run"):
        report_night("r", report(0.9), tables={"p/nyuv2/2"})
    last, _ = nights(tmp_path)
    write(last)
    spec = make_spec(lr=1e-3).hash()
    other = "final.semseg.miou/dataset@1.miou"
    (entry,) = read_night(last, {("smoke", spec): {other}}).entries.values()
    assert list(entry.main) == [other]
    with pytest.raises(StoreError, match="no run of these tables"):
        read_night(last, {("full", spec): {other}})


# --- pages and the command line ---------------------------------------------------------------------------------------


def worse_nights(tmp_path: Path) -> tuple[Path, Path]:
    last, now = nights(tmp_path)
    for lr in (1e-3, 2e-3):
        write(last, lr=lr)
        write(now, lr=lr, rmse=0.9 if lr == 1e-3 else 1.2, program="q")
    return last, now


def call(*arguments: object) -> int:
    return main(["diff", *map(str, arguments)])


@pytest.mark.parametrize(("on", "worse", "better"), [("worse", 1, 0), ("changed", 1, 1), ("none", 0, 0)])
def test_exit_codes(on: str, worse: int, better: int, tmp_path: Path) -> None:
    last, now = worse_nights(tmp_path)
    assert call(last, now, "--fail-on", on) == worse
    assert call(now, last, "--fail-on", on) == better
    assert call(last, last, "--fail-on", on) == 0


def test_the_page_says_the_same_in_terminal_markdown_and_html(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last, now = worse_nights(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert call(last, now, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().out
    markdown = (tmp_path / "out" / "difference.md").read_text()
    html = (tmp_path / "out" / "difference.html").read_text()
    for text in (said, markdown, html, (tmp_path / "summary.md").read_text()):
        assert "Worse: 1 figure." in text
        assert "2 runs in both: 1 worse, 1 identical bit by bit." in text
        assert "Not the same behind those that differ: program (1)." in text
        assert "+0.3" in text
    assert "://" not in html.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched"
    assert html.count("<svg") >= 1
    assert ">tonight</li>" in html, "curves of both nights have a legend"
    assert "1 panel of training curves in the HTML page." in markdown


def test_specs_of_one_label_are_told_apart_and_names_are_escaped(tmp_path: Path) -> None:
    last, now = worse_nights(tmp_path)
    page = difference_page(replace(compared(last, now), last="<last>", now="<b>now</b>"))
    (frame,) = [frame for frame in page.frames if frame.title == "Figures that differ"]
    names = [str(line[1]) for line in frame.data.to_numpy()]
    assert names == [f"mtl/hrnet_nano[semseg+depth] ({make_spec(lr=2e-3).hash()[:8]})"]
    assert "<b>now" not in render_page_html(page)


def test_curves_are_drawn_of_the_most_urgent_runs_alone(tmp_path: Path) -> None:
    last, now = nights(tmp_path)
    for i in range(30):
        write(last, lr=1e-3 * (i + 1))
        write(now, lr=1e-3 * (i + 1), rmse=0.5 if i < 29 else 1.2)
    page = difference_page(compared(last, now))
    assert len(page.panels) == 24
    assert make_spec(lr=30e-3).hash()[:8] in page.panels[0][0]


def failing(*arguments: object) -> str:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        assert call(*arguments) == 2
    return stream.getvalue()


def test_bad_input_is_one_clear_error(tmp_path: Path) -> None:
    last, now = worse_nights(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    write_atomic(tmp_path / "r.json", b"{}")
    cases: Iterable[tuple[tuple[object, ...], str]] = [
        ((last, tmp_path / "nowhere"), "nowhere: no such run store or report.json"),
        ((empty, now), "empty: no run. Give the run store of a session"),
        ((last, tmp_path / "r.json"), "a run store and a report cannot be compared"),
        ((last, now, "--tables", "mti_net/2z"), "unknown table 'mti_net/2z'"),
        ((last, now, "--tables", "mti_net/2a"), "no run of these tables"),
        ((tmp_path / "r.json", tmp_path / "r.json"), "schema version None"),
        ((last, now, "--expected", empty), "no folder of printed tables"),
    ]
    for arguments, words in cases:
        assert words in failing(*arguments)
