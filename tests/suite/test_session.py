"""Sessions: what is planned, shared, served, judged and recorded; the training itself is stood in for."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import MISSING, alone, reprinted, table, two_sets
from suite_fakes import FakeLauncher

from mtlrepro.engine.environment import environment
from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import DataError, SpecError, StoreError
from mtlrepro.spec import ModelSpec, RunSpec
from mtlrepro.suite import recorded, session, shrink, stats, tiers
from mtlrepro.suite.figures import figures_of, usual_protocol
from mtlrepro.suite.launch import CostJob, RunJob
from mtlrepro.suite.machine import machine
from mtlrepro.suite.merge import merge
from mtlrepro.suite.results import SCHEMA_VERSION, SessionResult
from mtlrepro.suite.session import Options, Session
from mtlrepro.suite.store import Finished
from mtlrepro.suite.table import BoundTable, Row

STAGES = ("final", "scale_0", "scale_1", "scale_2", "scale_3")


def tables() -> list[BoundTable]:
    """The tables of MTI-Net that share trainings of HRNet-18 on NYUD-v2."""
    return [table(name) for name in ("2a", "3", "4", "7a", "S2a", "S2b")]


def cases(*bound: BoundTable) -> list[tuple[BoundTable, Row]]:
    return [(b, r) for b in bound for r in b.rows]


def figures(spec: RunSpec) -> dict[str, float]:
    """Plausible figures for every view of a run, different for every architecture."""
    quality = {"stl": 0.0, "mtl": -0.01, "padnet": 0.01, "mti_net": 0.03}[spec.model.arch]
    values = {
        "semseg.miou": 0.33 + quality,
        "semseg.pixel_acc": 0.65,
        "semseg.mean_acc": 0.45,
        "depth.rmse": 0.66 - quality,
    }
    values |= {"depth.rel": 0.18, "depth.delta1": 0.73, "depth.delta2": 0.93, "depth.delta3": 0.98}
    mine = {m: x for m, x in values.items() if m.partition(".")[0] in spec.model.main}
    return {record_key(view, m, usual_protocol(m)): x for view in STAGES for m, x in mine.items()}


Make = Callable[..., tuple[Session, FakeLauncher]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A session without GPU or dataset over stand-ins for the data and for the program."""
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    monkeypatch.setattr(session, "_gpus", lambda: 0)
    monkeypatch.setattr(session, "program_digest", lambda spec: "p" * 16)
    monkeypatch.setattr(recorded, "program_digest", lambda spec: "p" * 16)
    monkeypatch.setattr(Session, "_manifest", lambda self, data: f"data of {data.name}")

    def build(of: Any = figures, costs: Any = lambda model: (1000, 2000), step: float = 0.0, **options: Any) -> Any:
        launcher = FakeLauncher(of, costs, step)
        return Session(Options(runs=tmp_path / "runs", report=tmp_path / "report", **options), launcher), launcher

    return build


def full_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_gpus", lambda: 1)
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root, cache: Path("/data"))


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [({"tier": "ful"}, "--tier", "unknown tier 'ful'"), ({"seeds": 0}, "--seeds", "0 seeds")],
)
def test_wrong_options_are_told(options: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        Options(**options)
    assert caught.value.field == field
    assert caught.value.mend


# --- planning ---------------------------------------------------------------------------------------------------------


def test_six_tables_share_fourteen_trainings(make: Make) -> None:
    one, launcher = make()
    bound = tables()
    assert len(bound) == 6
    one.plan(cases(*bound))
    assert one.total_runs == 14
    assert len(launcher.runs) == 14
    assert len({r.key for r in launcher.runs}) == 14
    assert {r.tier for r in launcher.runs} == {"smoke"}
    costs = [j for j in launcher.jobs.values() if isinstance(j, CostJob)]
    assert len(costs) == 14
    assert {j.size for j in costs} == {(480, 640)}  # the paper's exact model, whatever the tier
    assert {j.model.backbone for j in costs} == {"hrnet18"}
    kinds = [isinstance(j, RunJob) for j in launcher.jobs.values()]
    assert kinds == sorted(kinds, reverse=True)


def test_every_seed_is_a_run(make: Make) -> None:
    one, launcher = make(seeds=3)
    one.plan(cases(table("4")))
    assert one.total_runs == 3 * 3  # two single-task networks and one MTI-Net
    assert sorted(r.seed for r in launcher.runs) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_planning_in_parts_is_planning_at_once(make: Make) -> None:
    one, launcher = make()
    for b in tables():
        one.plan(cases(b))
        one.plan(cases(b))
    assert one.total_runs == 14
    assert len(launcher.runs) == 14


@pytest.mark.parametrize(
    ("name", "row", "joined"),
    [("2a", "PAD-Net", "Single task"), ("7a", "PAD-Net", "Single Task"), ("s2a", "PAD-Net", None)],
)
def test_the_baseline_joins_where_something_refers_to_it(name: str, row: str, joined: str | None, make: Make) -> None:
    one, launcher = make()
    bound = table(name)
    one.plan([(bound, bound.row(row))])
    rows = [r.name for r in one.table(bound).rows]
    assert rows == [*([joined] if joined else []), row]
    assert len(launcher.runs) == (3 if joined else 1)
    if joined:
        assert "own" in one.table(bound).rows[1].delta


def test_the_spec_the_tier_the_program_and_the_data_are_in_the_runs(make: Make) -> None:
    one, launcher = make()
    one.plan(cases(table("2a")))
    run = launcher.runs[0]
    assert (run.program, run.data, run.tier) == ("p" * 16, "data of scenes", "smoke")
    assert run.spec == shrink.smoke(table("2a").row("Single task").specs[0])


def test_a_tier_nobody_can_serve_is_told_with_what_is_missing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for tier, words in (("full", "nyuv2: .*MTLREPRO_DATA"), ("bench", "no CUDA GPU is visible")):
        one, launcher = make(tier=tier)
        with pytest.raises(SpecError, match=words) as caught:
            one.plan(cases(table("2a")))
        assert caught.value.field == "--tier"
        assert "--tier auto" in caught.value.mend
        assert launcher.jobs == {}
    monkeypatch.setattr(session, "_gpus", lambda: 1)
    one, launcher = make(tier="bench")
    one.plan(cases(table("2a")))
    assert {r.tier for r in launcher.runs} == {"bench"}
    assert {r.spec.data.size for r in launcher.runs} == {(480, 640)}


def test_auto_names_why_no_stronger_tier_was_run(make: Make) -> None:
    one, _ = make()
    bound = table("2a")
    one.plan(cases(bound))
    for row in one.table(bound).rows:
        assert row.tier == "smoke"
        assert "full: nyuv2: " in row.not_run
        assert "bench: no CUDA GPU is visible" in row.not_run


def quoted(bound: BoundTable) -> BoundTable:
    """The table with all rows but the first two copied from elsewhere."""
    lines = tuple(
        r if i < 2 else dataclasses.replace(r, origin="quoted", source="elsewhere")
        for i, r in enumerate(bound.expected.rows)
    )
    rows = tuple(r if i < 2 else Row(r.name) for i, r in enumerate(bound.rows))
    return dataclasses.replace(reprinted(bound, rows=lines, claims=()), rows=rows)


def test_quoted_rows_run_nothing_and_are_no_error_alone(make: Make) -> None:
    bound = quoted(table("s2a"))
    one, launcher = make()
    one.plan([(bound, bound.rows[3])])
    assert launcher.jobs == {}
    row = one.table(bound).rows[0]
    assert {c.verdict for c in row.checks} == {"QUOTED"}
    assert row.tier is None


def test_quoted_rows_do_not_hide_that_the_others_cannot_be_served(make: Make) -> None:
    bound = quoted(table("2a"))
    one, _ = make(tier="full")
    with pytest.raises(SpecError, match="nyuv2") as caught:
        one.plan(cases(bound))
    assert "quoted" not in caught.value.problem


def test_a_store_that_cannot_be_written_stops_before_any_work(make: Make, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    one, launcher = make()
    with pytest.raises(StoreError, match="cannot write"):
        one.plan(cases(table("2a")))
    assert launcher.jobs == {}


# --- results ----------------------------------------------------------------------------------------------------------


def test_views_of_table_4_cost_one_training(make: Make) -> None:
    def of(spec: RunSpec) -> dict[str, float]:
        values = figures(spec)
        if spec.model.arch == "mti_net":
            values |= {f"scale_{i}.semseg.miou/dataset@1.miou": 0.30 + 0.01 * (3 - i) for i in range(4)}
        return values

    one, launcher = make(of)
    bound = table("4")
    one.plan(cases(bound))
    rows = one.table(bound).rows[1:]
    assert len(launcher.runs) == 3
    assert len({tuple(r.runs) for r in rows}) == 1
    assert [round(r.measured["seg"].mean, 3) for r in rows] == [30.0, 31.0, 32.0, 33.0, 36.0]
    assert [r.view for r in rows] == ["scale_3", "scale_2", "scale_1", "scale_0", "final"]


def test_a_table_is_judged_once_and_its_runs_are_read_once(make: Make) -> None:
    one, launcher = make()
    bound = table("2a")
    one.plan(cases(bound))
    assert one.table(bound) is one.table(bound)
    assert one.table(table("2a")) is one.table(bound)
    runs = [k for k in launcher.asked if isinstance(launcher.jobs[k], RunJob)]
    assert len(runs) == len(set(runs)) == 12


def test_seeds_become_mean_count_and_deviation(make: Make) -> None:
    one, _ = make(seeds=3, step=0.01)
    bound = table("2a")
    one.plan([(bound, bound.row("MTL"))])
    value = one.table(bound).rows[1].measured["seg"]
    assert (value.mean, value.n, value.s) == (pytest.approx(33.0), 3, pytest.approx(1.0))


def test_a_failed_run_is_its_row_s_error_and_no_other_s(make: Make) -> None:
    def of(spec: RunSpec) -> Any:
        if spec.model.arch == "padnet" and len(spec.model.aux) == 3:
            return DataError("label 99 is out of range", file="a.png", field="normals", mend="Relabel it")
        return figures(spec)

    one, _ = make(of)
    bound = table("2a")
    one.plan(cases(bound))
    rows = {r.name: r for r in one.table(bound).rows}
    error = rows["PAD-Net (N)"].checks[0]
    assert (error.kind, error.verdict) == ("run", "ERROR")
    assert error.reason == "a.png: normals: label 99 is out of range. Relabel it"
    assert not [c for n, r in rows.items() if n != "PAD-Net (N)" for c in r.checks if c.verdict == "ERROR"]


def test_a_failed_count_is_its_row_s_error(make: Make) -> None:
    def costs(model: ModelSpec) -> Any:
        return StoreError("cannot write", file="x", mend="Free disk space") if model.arch == "mtl" else (1000, 2000)

    one, _ = make(costs=costs)
    bound = table("7a")
    one.plan(cases(bound))
    rows = {r.name: r for r in one.table(bound).rows}
    assert [c.verdict for c in rows["Multi-Task"].checks if c.kind == "run"] == ["ERROR"]
    assert not [c for c in rows["PAD-Net"].checks if c.kind == "run"]


def test_at_full_the_verdicts_are_the_paper_s(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    full_tier(monkeypatch)
    bound = table("2a")
    one, launcher = make(seeds=3, step=0.001)
    one.plan(cases(bound))
    assert {r.spec for r in launcher.runs} == {s for r in bound.rows for s in r.specs}
    result = one.table(bound)
    assert {r.tier for r in result.rows} == {"full"}
    assert {c.verdict for r in result.rows for c in r.checks if c.kind == "printed"} <= {"PASS", "FAIL", "IMPROVED"}
    claims = {c.subject: c for c in result.claims}
    assert claims["The multi-task baseline is worse than the single-task models"].verdict == "PASS"
    same = claims["The FPM improves MTI-Net"]  # the stand-in gives both the same figures
    assert (same.verdict, same.n) == ("SKIPPED", 3)
    assert same.reason.startswith("undecided with n = 3")
    alone, _ = make()
    alone.plan(cases(bound))
    assert {c.verdict for c in alone.table(bound).claims} == {"SKIPPED"}  # one seed decides nothing


def test_parts_merge_to_the_whole(make: Make) -> None:
    one, _ = make()
    bound = [table("2a"), table("4")]
    one.plan(cases(*bound))
    for b in bound:
        one.table(b)
    whole = one.finish()
    parts = [one.part(b, r.name) for b in bound for r in b.rows]
    merged = merge(parts, whole)
    assert [[r.name for r in t.rows] for t in merged.tables] == [[r.name for r in t.rows] for t in whole.tables]
    assert [sorted(c.subject for c in t.claims) for t in merged.tables] == [
        sorted(c.subject for c in t.claims) for t in whole.tables
    ]
    assert sorted(r.key for r in merged.runs) == sorted(r.key for r in whole.runs)
    assert len(merged.checks()) == len(whole.checks())
    assert all(len(p.tables[0].rows) == 1 for p in parts)


def test_a_run_that_one_worker_made_is_not_reused_in_the_merged_result(make: Make) -> None:
    one, _ = make()
    bound = table("4")
    one.plan(cases(bound))
    one.table(bound)
    made = one.part(bound, "ST")
    found = dataclasses.replace(made, runs=[dataclasses.replace(r, reused=True) for r in made.runs])
    for parts in ([made, found], [found, made]):
        assert [r.reused for r in merge(parts, one.finish()).runs] == [False, False]
    assert [r.reused for r in found.runs] == [True, True]  # what was given is left as it was


def test_the_result_is_json(make: Make) -> None:
    one, _ = make(seeds=2, step=0.01)
    bound = tables()
    one.plan(cases(*bound))
    for b in bound:
        one.table(b)
    result = one.finish()
    assert isinstance(result, SessionResult)
    text = json.dumps(result.to_json())
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    assert len(result.runs) == 28
    assert [r.seconds for r in result.runs] == pytest.approx([1.3] * 28)
    assert (result.tier, len(result.tables)) == ("auto", 6)


def test_a_claim_that_seeds_show_or_refute(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    full_tier(monkeypatch)
    bound, text = table("2a"), "The FPM improves MTI-Net"
    for gain, verdict in ((0.01, "PASS"), (-0.01, "FAIL")):

        def of(spec: RunSpec, gain: float = gain) -> dict[str, float]:
            mine = gain if spec == bound.row("Ours (w/ FPM)").specs[0] else 0.0
            return {k: v - mine if "rmse" in k else v + mine for k, v in figures(spec).items()}

        one, _ = make(of, seeds=3, step=0.001)
        one.plan(cases(bound))
        assert {c.subject: c.verdict for c in one.table(bound).claims}[text] == verdict
        failed = [f for f in one.outcome(bound, "Ours (w/ FPM)").failures if text in f]
        assert bool(failed) == (verdict == "FAIL")


def test_holm_s_adjustment_is_made_over_all_panels_of_a_table(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full_tier(monkeypatch)
    panels = two_sets(tmp_path)
    one, _ = make(of_sets, seeds=3, step=0.01)
    one.plan(cases(*panels.values()))
    checks = {k: [c for r in one.table(b).rows for c in r.checks if c.p is not None] for k, b in panels.items()}
    together = {f"{k}/{i}": c.p for k, cs in checks.items() for i, c in enumerate(cs) if c.p is not None}
    assert all(checks.values())
    rejected = stats.holm(together)
    for key, of_panel in checks.items():
        assert [c.holm != "PASS" for c in of_panel] == [rejected[f"{key}/{i}"] for i in range(len(of_panel))]
        assert one.table(panels[key]).chance_failures == pytest.approx(0.05 * len(of_panel))


# --- strictness -------------------------------------------------------------------------------------------------------


def test_a_figure_better_than_its_band_fails_its_row_only_where_that_is_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_tier(monkeypatch)
    bound = table("s2b")

    def above(spec: RunSpec) -> dict[str, float]:
        return {k: 0.9 for k in figures(spec)}

    lenient, _ = make(above)
    lenient.plan(cases(bound))
    verdicts = {c.verdict for r in lenient.table(bound).rows for c in r.checks}
    assert verdicts == {"IMPROVED"}
    assert lenient.failures() == []
    strict, _ = make(above, strict=True)
    strict.plan(cases(bound))
    assert len(strict.failures()) == 3 * 11
    assert strict.failures()[0].startswith("mti_net/nyuv2/S2b [Single task]: IMPROVED printed pixel: measured 90")
    assert {c.verdict for r in strict.table(bound).rows for c in r.checks} == {"IMPROVED"}


# --- panels -----------------------------------------------------------------------------------------------------------


def of_sets(spec: RunSpec) -> dict[str, float]:
    """Figures of the table with two sets: the method and the third task each help."""
    gain = 0.03 * (spec.model.arch == "padnet") + 0.01 * ("normals" in spec.model.main)
    found = {"semseg.miou": 0.30 + gain, "depth.rmse": 0.70 - gain, "normals.mean": 20.0}
    return {record_key("final", m, usual_protocol(m)): x for m, x in found.items()}


def test_planning_a_row_pulls_in_the_sibling_panel_s_baseline(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full_tier(monkeypatch)
    panels = two_sets(tmp_path)
    one, launcher = make(of_sets)
    second = panels["S-D-N"]
    one.plan([(second, second.row("Method"))])
    assert {(r.spec.model.arch, len(r.spec.model.main)) for r in launcher.runs} == {("mtl", 2), ("padnet", 3)}
    (row,) = one.table(second).rows
    assert row.delta["own"] == pytest.approx(100 * ((0.34 / 0.30 - 1) - (0.66 / 0.70 - 1)) / 2)
    assert [r.name for r in one.table(panels["S-D"]).rows] == ["Base"]
    assert one.total_runs == 2


def test_panels_are_judged_beside_each_other_and_kept_apart(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full_tier(monkeypatch)
    panels = list(two_sets(tmp_path).values())
    one, _ = make(of_sets, seeds=3, step=0.001)
    one.plan(cases(*panels))
    results = [one.table(b) for b in panels]
    assert [t.panel for t in results] == ["S-D", "S-D-N"]
    assert {c.subject: c.verdict for c in results[1].claims} == {
        "The method beats the baseline": "PASS",
        "A third task helps": "PASS",
    }
    assert [c.verdict for c in results[0].claims] == ["PASS"]
    merged = merge([one.part(b, r.name) for b, r in cases(*panels)], one.finish())
    assert [(t.panel, [r.name for r in t.rows], len(t.claims)) for t in merged.tables] == [
        ("S-D", ["Base", "Method", "Copied"], 1),
        ("S-D-N", ["Base", "Method"], 2),
    ]


def test_rows_without_recipe_run_nothing_and_are_never_green(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full_tier(monkeypatch)
    panels = list(two_sets(tmp_path, missing=("Method",)).values())
    one, launcher = make(of_sets, seeds=3)
    one.plan(cases(*panels))
    assert {r.spec.model.arch for r in launcher.runs} == {"mtl"}
    for bound in panels:
        row = next(r for r in one.table(bound).rows if r.name == "Method")
        assert {(c.verdict, c.reason) for c in row.checks} == {("MISSING", MISSING)}
        assert {(c.verdict, c.reason) for c in one.table(bound).claims} == {("SKIPPED", MISSING)}
        end = one.outcome(bound, "Method")
        assert (end.failures, end.skipped) == ([], f"MISSING: {MISSING}")
    assert not [f for f in one.failures() if "[Method]" in f]


def test_a_table_of_which_no_row_has_a_recipe_needs_nothing(make: Make, tmp_path: Path) -> None:
    panels = list(two_sets(tmp_path, missing=("Base", "Method")).values())
    one, launcher = make(tier="full")  # nobody has the dataset, and nobody asks for it
    one.plan(cases(*panels))
    assert launcher.jobs == {}
    assert one.total_runs == 0
    assert one.failures() == []
    verdicts = {c.verdict for b in panels for r in one.table(b).rows for c in r.checks}
    assert verdicts == {"MISSING", "QUOTED"}


# --- recording --------------------------------------------------------------------------------------------------------


def finished(launcher: FakeLauncher) -> list[Finished]:
    """What would lie in the store after a session."""
    return [Finished(r, launcher.result(r.key)["record"], environment(), 0.0) for r in launcher.runs]


def test_what_is_recorded_is_what_the_next_session_meets(make: Make, tmp_path: Path) -> None:
    first, launcher = make(seeds=3, step=0.001)
    folder = tmp_path / "measured"
    bound = [alone(b, measured=folder) for b in tables()]
    first.plan(cases(*bound))
    for b in bound:
        first.table(b)
    assert not [c for c in first.finish().checks() if c.kind == "recorded"]
    (path,) = recorded.update(bound, finished(launcher), folder, "a command")
    assert path == folder / machine(environment()) / "smoke.json"
    content = json.loads(path.read_text())
    assert len(content["runs"]) == 14
    (provenance,) = content["provenance"].values()
    assert provenance["seeds"] == "0, 1, 2"
    assert {"torch", "python", "cpu", "commit", "date", "command"} <= provenance.keys()
    shared = shrink.smoke(table("4").row("Final output").specs[0])
    kept = content["runs"][shared.hash()]["metrics"]
    assert {f"{s}.depth.depth/pooled@1.rmse" for s in STAGES} <= kept.keys()  # every view that any table reads
    assert kept["final.semseg.miou/dataset@1.miou"] == pytest.approx([0.36, 0.361, 0.362])

    again, _ = make(seeds=1)
    again.plan(cases(*bound))
    for b in bound:
        again.table(b)
    checks = [c for c in again.finish().checks() if c.kind == "recorded"]
    assert {c.verdict for c in checks} == {"PASS"}
    assert len(checks) == sum(len(b.rows) * len(figures_of(b.expected)) for b in bound)

    worse, _ = make(lambda spec: {k: v - 0.05 for k, v in figures(spec).items()})
    worse.plan(cases(bound[0]))
    found = {(c.subject, c.verdict) for c in worse.table(bound[0]).rows[1].checks if c.kind == "recorded"}
    assert found == {("semseg.miou", "FAIL"), ("depth.rmse", "IMPROVED")}
    assert recorded.load(folder, "bench", machine(environment())) is None


def test_a_baseline_that_is_itself_selected_is_accounted_for_once(make: Make) -> None:
    one, _ = make(lambda spec: {k: math.nan for k in figures(spec)})
    bound = tables()[0]
    one.plan([(bound, bound.row(bound.expected.baseline))])
    lines = one.failures()
    assert lines
    assert len(lines) == len(set(lines))
