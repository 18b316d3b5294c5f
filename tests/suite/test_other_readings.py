"""Rows that are not printed: another reading of a printed row, trained and shown beside it, held to no printed cell."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import TWO_SETS, paper_spec, row_named, row_of, table, two_sets
from jtr_session import open_session
from suite_fakes import ROOT

from mtlrepro.audit.run import audit_panel
from mtlrepro.cli import main
from mtlrepro.engine.environment import environment
from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import SpecError, TrainingError
from mtlrepro.expected.frame import load_expected
from mtlrepro.expected.load import load_table
from mtlrepro.report.export import export_table
from mtlrepro.spec import RunSpec
from mtlrepro.suite import recorded
from mtlrepro.suite.evidence import Evidence, own_reference
from mtlrepro.suite.figures import usual_protocol
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.merge import merge
from mtlrepro.suite.session import Session
from mtlrepro.suite.shrink import smoke
from mtlrepro.suite.store import Finished
from mtlrepro.suite.table import BoundTable, Row, Table, bind

TASKS = ("semseg", "depth")
SPECS = (paper_spec("mti_net", *TASKS),)
READING = Row("Method, as released", SPECS, panel="S-D", reading_of="Method")
GAINS = {"mtl": 0.0, "padnet": 0.03, "mti_net": 0.04}
"""What each architecture gains on the baseline row's figures."""


def figures(spec: RunSpec) -> dict[str, float]:
    """Figures of every row of the table with two sets; those of the reading are the best ones."""
    gain = GAINS[spec.model.arch]
    found = {"semseg.miou": 0.30 + gain, "depth.rmse": 0.70 - gain, "normals.mean": 20.0}
    mine = {m: v for m, v in found.items() if m.partition(".")[0] in spec.model.main}
    return {record_key("final", m, usual_protocol(m)): v for m, v in mine.items()}


Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A session over stand-ins for trainings; everything is served at full unless `data` and `gpus` say otherwise."""
    monkeypatch.setattr(recorded, "program_digest", lambda spec: "p" * 16)

    def build(of: Any = figures, step: float = 0.0, **options: Any) -> Any:
        one, launcher = open_session(monkeypatch, tmp_path / "runs", of, **options)
        launcher.step = step
        return one, launcher

    return build


def first(root: Path, *more: Row, text: str = TWO_SETS) -> BoundTable:
    """The first panel with further rows."""
    return two_sets(root, text=text, more=more)["S-D"]


def run(one: Session, bound: BoundTable) -> Any:
    one.plan([(bound, r) for r in bound.rows])
    return one.table(bound)


# --- declared ---------------------------------------------------------------------------------------------------------


def test_it_stands_below_the_row_that_it_reads_otherwise_in_its_panel_alone(tmp_path: Path) -> None:
    second = replace(READING, name="Method, κ = 7.5")
    panels = two_sets(tmp_path, more=(READING, replace(READING, name="Base, unscaled", reading_of="Base"), second))
    assert [r.name for r in panels["S-D"].rows] == [
        *("Base", "Base, unscaled", "Method", "Method, as released", "Method, κ = 7.5", "Copied")
    ]
    assert [r.name for r in panels["S-D-N"].rows] == ["Base", "Method"]
    bound = panels["S-D"]
    assert bound.row("Method, as released") is READING
    line = bound.line(READING.name)
    assert (line.name, line.origin, line.source, line.cells) == (READING.name, "reading", "Method", {})
    assert bound.line("Method") is bound.counterpart(READING.name) is bound.expected.row("Method")


def test_what_is_printed_stays_what_is_printed(tmp_path: Path) -> None:
    plain = first(tmp_path / "plain")
    bound = first(tmp_path / "more", READING)
    assert bound.expected.printed is load_table(bound.expected.file)
    assert [r.name for r in bound.expected.rows] == ["Base", "Method", "Copied"]
    assert audit_panel(bound.expected) == audit_panel(plain.expected)
    folders = [b.expected.file.parent.parent for b in (plain, bound)]
    assert load_expected(folders[0]).equals(load_expected(folders[1]))
    with pytest.raises(SpecError, match="unknown row"):
        bound.expected.row(READING.name)


@pytest.mark.parametrize(
    ("row", "says", "mend"),
    [
        (replace(READING, reading_of="Methd"), "unknown row to read otherwise 'Methd'", "Did you mean 'Method'"),
        (replace(READING, reading_of="Copied"), "unknown row to read otherwise 'Copied'", "Known: Base, Method"),
        (replace(READING, reading_of=READING.name), "unknown row to read otherwise", "Method"),
        (replace(READING, panel="S-D-N", reading_of="Copied"), "unknown row to read otherwise", "Method"),
        (replace(READING, name="Base"), "is the name of a printed row", "a name of its own"),
        (replace(READING, name="Copied"), "is the name of a printed row", "a name of its own"),
        (replace(READING, specs=()), "a reading without specs", "Give it specs"),
        (replace(READING, specs=(), missing="later"), "a reading without specs", "Give it specs"),
    ],
)
def test_one_that_is_none_is_told(row: Row, says: str, mend: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        two_sets(tmp_path, more=(row,))
    assert (caught.value.field, Path(str(caught.value.file)).name) == (row.name, "test_nyuv2_table_1.py")
    assert mend in caught.value.mend


def test_two_of_one_name_and_a_reference_that_is_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is declared twice"):
        two_sets(tmp_path, more=(READING, READING))
    file = tmp_path / "suites" / "mini" / "test_nyuv2_table_1.py"
    with pytest.raises(SpecError, match="a reference that is a reading") as caught:
        bind(Table("mini", "nyuv2", "1", [], missing="no code", references=[READING]), file)
    assert (caught.value.file, caught.value.field) == (file, READING.name)
    named = Row("Method, as released", SPECS, panel="S-D")
    with pytest.raises(SpecError, match="is the name of a printed row or a reference"):
        bind(Table("mini", "nyuv2", "1", [READING], missing="no code", references=[named]), file)


def test_no_table_file_can_say_that_a_row_is_one(tmp_path: Path) -> None:
    text = TWO_SETS.replace('origin = "quoted"\nsource = "another paper"', 'origin = "reading"\nsource = "Method"')
    with pytest.raises(SpecError, match="unknown origin 'reading'"):
        two_sets(tmp_path, text=text)


# --- at full ----------------------------------------------------------------------------------------------------------


def test_at_full_its_figures_stand_beside_the_print_and_no_cell_is_held_to_it(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    one, launcher = opened(seeds=3, step=0.001)
    result = run(one, bound)
    assert {(r.spec.model.arch, r.seed) for r in launcher.runs} >= {("mti_net", seed) for seed in range(3)}
    assert result.row_names == [r.name for r in result.rows] == ["Base", "Method", READING.name, "Copied"]
    row = row_named(result, READING.name)
    assert (row.origin, row.source, row.tier, row.printed, row.checks) == ("reading", "Method", "full", {}, [])
    assert row.beside == row_named(result, "Method").printed == {
        "sd_seg": "33.00", "sd_dep": "0.650", "sd_delta": "+ 8.57"
    }  # fmt: skip
    assert row.measured["sd_seg"].mean == pytest.approx(34.1)
    assert (row.measured["sd_seg"].n, row.measured["sd_seg"].s) == (3, pytest.approx(0.1))
    assert row.delta.keys() == {"own", "printed"}  # no Δ_m of the paper's own
    base = {"semseg": 0.301, "depth": 0.701}
    own = 100 * ((0.341 / base["semseg"] - 1) - (0.661 / base["depth"] - 1)) / 2
    assert row.delta["own"] == pytest.approx(own)
    assert [r.beside for r in result.rows if r is not row] == [{}, {}, {}]


def test_it_changes_nothing_about_the_printed_rows(tmp_path: Path, opened: Open) -> None:
    def noisy(spec: RunSpec) -> dict[str, float]:
        return {k: v * (2 if spec.model.arch == "mti_net" else 1) for k, v in figures(spec).items()}

    plain, more = (
        run(opened(noisy, seeds=3, step=0.01)[0], first(tmp_path / str(len(rows)), *rows)) for rows in ((), (READING,))
    )
    kept = [r for r in more.rows if r.origin != "reading"]
    assert [(r.name, r.checks, r.measured, r.delta) for r in kept] == [
        (r.name, r.checks, r.measured, r.delta) for r in plain.rows
    ]
    assert more.claims == plain.claims
    assert more.chance_failures == plain.chance_failures


def test_nothing_is_decided_of_it_at_full_and_that_is_not_green(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    one, _ = opened()
    run(one, bound)
    end = one.outcome(bound, READING.name)
    assert end.failures == []
    assert end.skipped == "nothing was decided: another reading of 'Method', which is not printed"
    assert not [line for line in one.failures() if READING.name in line]


def test_a_training_that_fails_fails_it_and_no_other_row(tmp_path: Path, opened: Open) -> None:
    def of(spec: RunSpec) -> Any:
        return TrainingError("diverged") if spec.model.arch == "mti_net" else figures(spec)

    bound = first(tmp_path, READING)
    one, _ = opened(of)
    row = row_named(run(one, bound), READING.name)
    assert [(c.kind, c.verdict) for c in row.checks] == [("run", "ERROR")]
    assert (row.measured, row.beside) == ({}, {})
    assert [line for line in one.outcome(bound, READING.name).failures if "diverged" in line]
    assert not [c for r in one.table(bound).rows if r is not row for c in r.checks if c.verdict == "ERROR"]


def test_alone_it_brings_the_baseline_of_its_gain(tmp_path: Path, opened: Open) -> None:
    panels = two_sets(tmp_path, more=(replace(READING, panel="S-D-N"),))
    bound = panels["S-D-N"]
    assert own_reference(bound, READING.name, bound.expected.column("sdn_delta")) == ("S-D", "Base")
    one, launcher = opened()
    one.plan([(bound, bound.row(READING.name))])
    assert {r.spec.model.arch for r in launcher.runs} == {"mtl", "mti_net"}
    result = one.table(bound)
    assert [r.name for r in result.rows] == [READING.name]
    assert result.rows[0].delta["own"] == pytest.approx(100 * ((0.34 / 0.30 - 1) - (0.66 / 0.70 - 1)) / 2)
    assert result.rows[0].beside == {"sdn_seg": "34.00", "sdn_dep": "0.640", "sdn_delta": "+ 10.95"}


def test_it_averages_the_metrics_that_the_row_averages(tmp_path: Path, opened: Open) -> None:
    text = TWO_SETS.replace('cells.sd_dep = "0.650"\n', 'cells.sd_dep = "-"\n')
    result = run(opened()[0], first(tmp_path, READING, text=text))
    row = row_named(result, READING.name)
    assert row.delta["own"] == pytest.approx(100 * (0.34 / 0.30 - 1))  # of the metric that is printed alone
    assert row.beside.keys() == {"sd_seg", "sd_delta"}


def test_a_cell_that_no_figure_is_held_to_does_not_stand_beside_it(tmp_path: Path, opened: Open) -> None:
    aside = 'cells.sd_delta = "+ 8.57"\nset_aside = { sd_delta = "averaged wrongly" }'
    row = row_named(
        run(opened()[0], first(tmp_path, READING, text=TWO_SETS.replace('cells.sd_delta = "+ 8.57"', aside))),
        READING.name,
    )
    assert row.beside.keys() == {"sd_seg", "sd_dep"}


def test_rows_gathered_from_processes_keep_their_order(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    one, _ = opened()
    run(one, bound)
    parts = [one.part(bound, r.name) for r in reversed(bound.rows)]
    (merged,) = merge(parts, one.finish()).tables
    assert [r.name for r in merged.rows] == ["Base", "Method", READING.name, "Copied"]


# --- below full -------------------------------------------------------------------------------------------------------


def test_on_scenes_nothing_printed_stands_beside_it(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    one, launcher = opened(gpus=0, data=False)
    row = row_named(run(one, bound), READING.name)
    assert smoke(SPECS[0]) in [r.spec for r in launcher.runs]
    assert (row.tier, row.beside, row.printed, row.checks) == ("smoke", {}, {}, [])
    assert row.not_run
    assert row.measured.keys() == {"sd_seg", "sd_dep", "sd_delta"}


def test_a_tier_that_was_asked_for_and_not_served_fails_it(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    one, _ = opened(gpus=0, data=False, tier="full")
    with pytest.raises(SpecError, match="no selected row can be served"):
        one.plan([(bound, bound.row(READING.name))])


def test_it_is_recorded_and_met_again_like_every_row(tmp_path: Path, opened: Open) -> None:
    folder = tmp_path / "measured"
    bound = replace(first(tmp_path, READING), measured=folder)
    one, launcher = opened(gpus=0, data=False, seeds=3, step=0.001)
    run(one, bound)
    runs = [Finished(r, launcher.result(r.key)["record"], environment(), 0.0) for r in launcher.runs]
    (file,) = recorded.update([bound], runs, folder, "a command")
    assert smoke(SPECS[0]).hash() in json.loads(file.read_text())["runs"]
    again, _ = opened(gpus=0, data=False, seeds=1)
    checks = row_named(run(again, replace(bound, siblings={})), READING.name).checks
    assert {(c.kind, c.subject, c.verdict) for c in checks} == {
        ("recorded", "semseg.miou", "PASS"), ("recorded", "depth.rmse", "PASS")
    }  # fmt: skip
    assert again.outcome(bound, READING.name).skipped == ""


def test_its_recorded_figures_widen_no_band_of_a_printed_row() -> None:
    bound = table("2a")
    more = replace(bound, rows=(*bound.rows, replace(bound.row("MTL"), name="MTL, otherwise", reading_of="MTL")))
    known = {"metrics": {"final.depth.depth/pooled@1.rmse": [0.60, 0.62, 0.61]}}
    reference = recorded.Recorded({smoke(bound.row("MTL").specs[0]).hash(): known})

    def bands(*names: str) -> list[float | None]:
        rows = {n: row_of(more, n, {"depth.rmse": [0.61]}, "smoke") for n in names}
        found = judge_table(Evidence(more, rows, {"smoke": reference}))
        return [c.band for r in found.rows for c in r.checks if (c.kind, c.subject) == ("recorded", "depth.rmse")]

    (alone,) = bands("MTL")
    (beside, reading) = bands("MTL", "MTL, otherwise")
    assert alone == beside
    assert reading is not None
    assert beside is not None
    assert reading > beside


def test_counts_need_no_training_and_stand_beside_the_print_at_every_tier() -> None:
    bound = table("7a")
    again = [replace(bound.row(n), name=f"{n}, otherwise", reading_of=n) for n in ("Single Task", "Multi-Task")]
    more = replace(bound, rows=(*bound.rows, *again))
    costs = [{"params": 7_900_000, "macs": 10**9}]
    names = ("Single Task", "Multi-Task", *(row.name for row in again))
    rows = {n: row_of(more, n, {"semseg.miou": [0.3]}, "smoke", costs) for n in names}
    found = judge_table(Evidence(more, rows))
    assert row_named(found, "Multi-Task, otherwise").beside == {"params": "-50%", "flops": "-45%"}
    assert row_named(found, "Single Task, otherwise").beside == {}  # ours is a ratio to the very row, and theirs none
    assert not [c for row in found.rows[2:] for c in row.checks]


# --- lists of what is printed -----------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout whose suite file declares a reading."""
    first(tmp_path)
    folder = tmp_path / "suites" / "mini"
    folder.mkdir(parents=True)
    (folder / "test_nyuv2_table_1.py").write_text(f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "suite")!r})
from evidence_fakes import paper_spec
from mtlrepro.suite.table import Row, Table

SPECS = (paper_spec("mti_net", "semseg", "depth"),)
ROWS = [Row("Method", SPECS, panel="S-D"), Row("As released", SPECS, panel="S-D", reading_of="Method")]
TABLE = Table("mini", "nyuv2", "1", ROWS, missing="no code")
""")
    return tmp_path


def test_it_is_listed_apart_from_what_is_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suites = str(project / "suites")
    assert main(["list", "mini/1/S-D", "--rows", "--suites", suites]) == 0
    before, _, after = capsys.readouterr().out.partition("Not printed, another reading of a printed row:")
    assert "Method" in before
    assert "As released" not in before
    assert [line.split()[-1] for line in after.strip().splitlines()[2:]] == ["Method"]
    assert main(["list", "mini/1/S-D-N", "--rows", "--suites", suites]) == 0
    assert "Not printed" not in capsys.readouterr().out
    assert main(["list", "mini/1/S-D", "--suites", suites]) == 0
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("mini/nyuv2/1/S-D ")]
    assert line.split()[1:3] == ["3", "1"]  # rows that are printed, and the runs of all
    assert main(["list", "mini/1/S-D", "--cells", "--suites", suites]) == 0
    assert "As released" not in capsys.readouterr().out


def test_an_exported_table_shows_it_where_a_report_measured_it(tmp_path: Path, opened: Open) -> None:
    bound = first(tmp_path, READING)
    root = bound.expected.file.parent.parent
    one, _ = opened()
    run(one, bound)
    assert READING.name not in export_table(root, "mini/1", "csv")
    text = export_table(root, "mini/1", "csv", one.finish())
    lines = list(csv.DictReader(text.splitlines()))
    place = next(i for i, line in enumerate(lines) if (line["Panel"], line["Row"]) == ("S-D", "Method"))
    printed_, reading = lines[place : place + 2]
    assert (printed_["seg"], printed_["seg (measured, full)"]) == ("33.00", "33.00")
    assert reading["Row"] == f"{READING.name} (another reading of Method, not printed)"
    assert (reading["seg"], reading["dep"], reading["delta"]) == ("", "", "")
    assert (reading["seg (measured, full)"], reading["dep (measured, full)"]) == ("34.00", "0.660")
    assert text.count(READING.name) == 1
