"""Readings that are counted and not trained: parameters and MACs beside the print, at every tier, held to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import TWO_SETS, paper_spec, row_named, row_of, write_expected
from jtr_session import open_session
from suite_fakes import ROOT, body

from mtlrepro.cli import main
from mtlrepro.engine.environment import environment
from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import DataError, SpecError
from mtlrepro.report.jsonfile import parse_report, to_text
from mtlrepro.spec import DataSpec, ModelSpec, RunSpec, options
from mtlrepro.suite import recorded
from mtlrepro.suite.evidence import Evidence
from mtlrepro.suite.figures import usual_protocol
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.launch import CostJob
from mtlrepro.suite.merge import merge
from mtlrepro.suite.session import Session
from mtlrepro.suite.shrink import smoke
from mtlrepro.suite.store import Finished, Run
from mtlrepro.suite.table import BoundTable, Row, Table, bind

COUNTS = """
schema_version = 2
paper = "mini"
table = "1"
dataset = "nyuv2"
caption = "Parameters, MACs and one trained figure"
source = "these tests"
selection = "last"
runs = 1

[baseline]
row = "Base"

[[columns]]
key = "params"
title = "Params (M)"
metric = "params"
protocol = "params@1"
unit = "M"
better = "lower"
relative = true

[[columns]]
key = "flops"
title = "FLOPS (G)"
metric = "macs"
protocol = "macs@1"
unit = "G"
better = "lower"
relative = true

[[columns]]
key = "seg"
title = "Seg"
metric = "semseg.miou"
protocol = "miou/dataset@1"
unit = "%"
better = "higher"

[[columns]]
key = "delta"
title = "Δ"
metric = "delta_m"
protocol = "delta_m@1"
unit = "%"
better = "higher"
over = ["semseg.miou"]

[[rows]]
name = "Base"
cells = { params = "8.0", flops = "22.0", seg = "30.00", delta = "+0.00" }

[[rows]]
name = "Method"
cells = { params = "+57%", flops = "-13%", seg = "33.00", delta = "+10.00" }
"""
BASE = Row("Base", (paper_spec("mtl", "semseg"),))
METHOD = Row("Method", (paper_spec("padnet", "semseg"),))
READING = Row("Unreduced", (paper_spec("mti_net", "semseg"),), reading_of="Method", counted=True)
COSTS = {"mtl": (8_000_000, 22 * 10**9), "padnet": (9_000_000, 11 * 10**9), "mti_net": (12_000_000, 33 * 10**9)}
"""Parameters and MACs of each architecture: the reading has half as much again as the baseline row, of both."""
NONE_BEFORE = "counted, not trained: another reading of 'Method', which is not printed"

Open = Callable[..., Any]


def figures(spec: RunSpec) -> dict[str, float]:
    key = record_key("final", "semseg.miou", usual_protocol("semseg.miou"))
    return {key: 0.33 if spec.model.arch == "padnet" else 0.30}


def count(model: ModelSpec) -> tuple[int, int]:
    return COSTS[model.arch]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A session over stand-ins for trainings and counts; at full unless `data` and `gpus` say otherwise."""
    monkeypatch.setattr(recorded, "program_digest", lambda spec: "p" * 16)

    def build(costs: Any = count, **options: Any) -> Any:
        one, launcher = open_session(monkeypatch, tmp_path / "runs", figures, **options)
        launcher.costs = costs
        return one, launcher

    return build


def bound_to(root: Path, *rows: Row, text: str = COUNTS, **more: Any) -> BoundTable:
    """The first panel of a table with these rows."""
    write_expected(root, text)
    declared = Table("mini", "nyuv2", "1", rows or (BASE, METHOD, READING), **more)
    return bind(declared, root / "suites" / "mini" / "test_nyuv2_table_1.py")[0]


def run(one: Session, bound: BoundTable, *names: str) -> Any:
    one.plan([(bound, bound.row(n)) for n in names or [r.name for r in bound.rows]])
    return one.table(bound)


def counted_models(launcher: Any) -> set[str]:
    return {job.model.arch for job in launcher.jobs.values() if isinstance(job, CostJob)}


# --- declared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "says", "mend"),
    [
        (replace(METHOD, counted=True), "is counted and no other reading", "what is printed is trained"),
        (replace(READING, view="scale_0"), "is counted and has a view", "Leave `view` out"),
        (replace(READING, epochs=20), "is counted and has a length of training", "Leave `epochs` out"),
        (replace(READING, specs=()), "a reading without specs", "Give it specs"),
    ],
)
def test_one_that_asks_for_a_training_is_told(row: Row, says: str, mend: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        bound_to(tmp_path, BASE, *([METHOD] if row.reading_of else []), row)
    assert (caught.value.field, Path(str(caught.value.file)).name) == (row.name, "test_nyuv2_table_1.py")
    assert mend in caught.value.mend


def test_a_reference_is_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is counted and no other reading"):
        bound_to(tmp_path, BASE, METHOD, references=[replace(BASE, name="Elsewhere", counted=True)])


def test_a_panel_that_prints_no_count_has_none(tmp_path: Path) -> None:
    row = replace(READING, panel="S-D")
    with pytest.raises(SpecError, match="neither parameters nor MACs are printed") as caught:
        bound_to(tmp_path, row, text=TWO_SETS, missing="no code")
    assert caught.value.field == row.name


# --- counted ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "tier"), [({}, "full"), ({"data": False}, "bench"), ({"gpus": 0, "data": False}, "smoke")]
)
@pytest.mark.parametrize("asked", [True, False])
def test_at_no_tier_is_it_trained(machine: dict, tier: str, asked: bool, tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)
    one, launcher = opened(seeds=3, **machine, **({"tier": tier} if asked else {}))
    result = run(one, bound)
    assert {(r.spec.model.arch, r.tier, r.seed) for r in launcher.runs} == {
        (arch, tier, seed) for arch in ("mtl", "padnet") for seed in range(3)
    }
    assert one.total_runs == 6
    row = row_named(result, READING.name)
    assert (row.origin, row.source, row.tier, row.not_run) == ("reading", "Method", "conformance", "")
    assert (row.runs, row.checks, row.metrics, row.delta, row.printed) == ([], [], {}, {}, {})
    assert {key: value.mean for key, value in row.measured.items()} == pytest.approx({"params": 50.0, "flops": 50.0})
    assert row.resources == {"params": 12_000_000, "macs": 33 * 10**9}
    assert row.beside == {"params": "+57%", "flops": "-13%"}
    assert [r.tier for r in result.rows] == [tier, tier, "conformance"]
    end = one.outcome(bound, READING.name)
    assert (end.failures, end.skipped) == ([], NONE_BEFORE)
    assert not [line for line in one.failures() if READING.name in line]


@pytest.mark.parametrize("tier", ["auto", "smoke", "bench", "full"])
def test_alone_it_brings_the_counts_of_the_baseline_and_no_training(tier: str, tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)
    one, launcher = opened(gpus=0, data=False, tier=tier)  # that no tier can be served matters to no count
    result = run(one, bound, READING.name)
    assert (launcher.runs, one.total_runs) == ([], 0)
    assert counted_models(launcher) == {"mtl", "mti_net"}
    assert row_named(result, READING.name).measured["params"].mean == pytest.approx(50.0)
    base = row_named(result, "Base")
    assert base.tier == "conformance"
    assert base.not_run.startswith("counted alone")
    (trained,) = [c for c in base.checks if c.subject == "seg"]
    assert (trained.verdict, trained.reason) == ("SKIPPED", base.not_run)
    assert {c.subject: c.verdict for c in base.checks if c.kind == "resource"} == {"params": "PASS", "flops": "PASS"}
    assert one.outcome(bound, READING.name).skipped == NONE_BEFORE
    assert one.failures() == []


def test_beside_a_row_that_is_trained_the_baseline_is_trained_too(tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)
    for order in (("Method", READING.name), (READING.name, "Method")):
        one, launcher = opened()
        result = run(one, bound, *order)
        assert {r.spec.model.arch for r in launcher.runs} == {"mtl", "padnet"}
        assert [r.tier for r in result.rows] == ["full", "full", "conformance"]
        assert row_named(result, "Method").delta["own"] == pytest.approx(10.0)


def test_a_baseline_that_was_planned_for_its_counts_can_be_trained_later(tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)
    one, launcher = opened()
    one.plan([(bound, READING)])
    assert launcher.runs == []
    one.plan([(bound, METHOD)])
    one.plan([(bound, READING)])
    assert {r.spec.model.arch for r in launcher.runs} == {"mtl", "padnet"}
    assert [r.tier for r in one.table(bound).rows] == ["full", "full", "conformance"]


def test_it_makes_no_tier_served_that_is_not(tmp_path: Path, opened: Open) -> None:
    one, _ = opened(gpus=0, data=False, tier="full")
    with pytest.raises(SpecError, match="no selected row can be served at tier 'full'"):
        run(one, bound_to(tmp_path))


def test_it_changes_nothing_about_the_other_rows(tmp_path: Path, opened: Open) -> None:
    plain = run(opened()[0], bound_to(tmp_path / "plain", BASE, METHOD))
    more = run(opened()[0], bound_to(tmp_path / "more"))
    assert more.rows[:2] == plain.rows
    assert (more.claims, more.chance_failures) == (plain.claims, plain.chance_failures)


def test_it_widens_no_recorded_band(tmp_path: Path) -> None:
    trained = Row("Otherwise", (paper_spec("mtl", "semseg"),), reading_of="Method")

    def band(*more: Row) -> float | None:
        bound = bound_to(tmp_path / str(len(more)), BASE, METHOD, trained, *more)
        key = record_key("final", "semseg.miou", usual_protocol("semseg.miou"))
        known = {smoke(trained.specs[0]).hash(): {"metrics": {key: [0.30, 0.32, 0.31]}}}
        rows = {r.name: row_of(bound, r.name, {"semseg.miou": [0.31]}, "smoke") for r in bound.rows}
        result = judge_table(Evidence(bound, rows, {"smoke": recorded.Recorded(known)}))
        (check,) = [c for c in row_named(result, trained.name).checks if c.kind == "recorded"]
        return check.band

    assert band(READING) == band()
    assert band(replace(READING, counted=False)) != band()


def test_what_cannot_be_counted_is_an_error(tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)

    def of(broken: str) -> Any:
        return lambda model: DataError("no such layer") if model.arch == broken else count(model)

    for broken, why in (("mti_net", "no such layer"), ("mtl", "the baseline row 'Base' failed: no such layer")):
        one, _ = opened(of(broken))
        row = row_named(run(one, bound, READING.name), READING.name)
        assert [(c.kind, c.subject, c.verdict) for c in row.checks] == [("run", "counting", "ERROR")]
        assert why in row.checks[0].reason
        assert row.measured == {}
        assert one.outcome(bound, READING.name).failures


def test_how_data_are_read_does_not_matter_to_it(tmp_path: Path, opened: Open) -> None:
    data = DataSpec("virtual_kitti2", (480, 640))
    rows = [replace(row, specs=(replace(row.specs[0], data=data),)) for row in (BASE, METHOD, READING)]
    bound = bound_to(tmp_path, *rows)
    for names, told in (((READING.name,), False), (("Method", READING.name), True)):
        one, _ = opened(data_options=options(policy="disjoint"))
        result = run(one, bound, *names)
        assert row_named(result, READING.name).varied == ""
        lines = [note for note in result.notes if "--data-option" in note]
        assert bool(lines) is told
        assert not [line for line in lines if READING.name in line]


def test_it_is_not_recorded_but_for_a_printed_row_of_the_same_spec(tmp_path: Path, opened: Open) -> None:
    twin = smoke(READING.specs[0])
    record = {**body(), "metrics": figures(twin)}
    runs = [Finished(Run(twin, 0, "smoke", "p" * 16, "d" * 16), record, environment(), 0.0)]
    opened()  # programs are stood in for
    assert recorded.update([bound_to(tmp_path)], runs, tmp_path / "measured", "a command") == []
    same = bound_to(tmp_path, BASE, replace(METHOD, specs=READING.specs), READING)
    (file,) = recorded.update([same], runs, tmp_path / "measured", "a command")
    assert list(json.loads(file.read_text())["runs"]) == [twin.hash()]


def test_it_survives_the_file_and_keeps_its_place(tmp_path: Path, opened: Open) -> None:
    bound = bound_to(tmp_path)
    one, _ = opened()
    result = run(one, bound)
    parts = [parse_report(json.loads(to_text(one.part(bound, r.name)))) for r in reversed(bound.rows)]
    (merged,) = merge(parts, one.finish()).tables
    assert merged.rows == result.rows


def test_the_listing_says_so_and_counts_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_expected(tmp_path, COUNTS)
    folder = tmp_path / "suites" / "mini"
    folder.mkdir(parents=True)
    (folder / "test_nyuv2_table_1.py").write_text(f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "suite")!r})
from test_counted import BASE, METHOD, READING
from mtlrepro.suite.table import Table

TABLE = Table("mini", "nyuv2", "1", [BASE, METHOD, READING])
""")
    assert main(["list", "mini/1", "--rows", "--suites", str(tmp_path / "suites")]) == 0
    before, _, after = capsys.readouterr().out.partition("Not printed, another reading of a printed row:")
    assert "counted" not in before
    assert READING.specs[0].label in after
    assert "(counted, not trained)" in after
    assert main(["list", "mini/1", "--suites", str(tmp_path / "suites")]) == 0
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("mini/nyuv2/1 ")]
    assert line.split()[1:3] == ["2", "2"]
