"""Sessions: what is planned, shared, served, judged and recorded; the training itself is stood in for."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.errors import DataError, SpecError, StoreError
from mtlrepro.spec import ModelSpec, RunSpec
from mtlrepro.suite import recorded, session, tiers
from mtlrepro.suite.expected import ExpectedTable
from mtlrepro.suite.launch import CostJob, RunJob
from mtlrepro.suite.results import SessionResult
from mtlrepro.suite.session import Options, Session, merge
from mtlrepro.suite.table import BoundTable, Row, bind, discover, load_suite_file

STAGES = ("final", "scale_0", "scale_1", "scale_2", "scale_3")


def table(name: str) -> BoundTable:
    file = SUITES / "mti_net" / f"test_nyuv2_table_{name}.py"
    return bind(load_suite_file(file), file)


def tables() -> list[BoundTable]:
    return [bind(t, f) for f, t in discover(SUITES) if t.paper == "mti_net"]


def cases(*bound: BoundTable) -> list[tuple[BoundTable, Row]]:
    return [(b, r) for b in bound for r in b.table.rows]


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
    return {f"{v}.{m}": x for v in STAGES for m, x in values.items() if m.partition(".")[0] in spec.model.main}


Make = Callable[..., tuple[Session, FakeLauncher]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A session without GPU or dataset over stand-ins for the data and for the program."""
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    monkeypatch.setattr(session, "_gpus", lambda: 0)
    monkeypatch.setattr(session, "program_digest", lambda spec: "p" * 16)
    monkeypatch.setattr(Session, "_manifest", lambda self, data: f"data of {data.name}")

    def build(of: Any = figures, costs: Any = lambda model: (1000, 2000), step: float = 0.0, **options: Any) -> Any:
        launcher = FakeLauncher(of, costs, step)
        return Session(Options(runs=tmp_path / "runs", report=tmp_path / "report", **options), launcher), launcher

    return build


def full_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_gpus", lambda: 1)
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root: Path("/data"))


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
    assert run.spec == tiers.smoke(table("2a").row("Single task").specs[0])


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
    rows = tuple(
        r if i < 2 else dataclasses.replace(r, origin="quoted", source="elsewhere")
        for i, r in enumerate(bound.expected.rows)
    )
    declared = [r if i < 2 else Row(r.name) for i, r in enumerate(bound.table.rows)]
    expected: ExpectedTable = dataclasses.replace(bound.expected, rows=rows, claims=())
    return dataclasses.replace(bound, table=dataclasses.replace(bound.table, rows=declared), expected=expected)


def test_quoted_rows_run_nothing_and_are_no_error_alone(make: Make) -> None:
    bound = quoted(table("s2a"))
    one, launcher = make()
    one.plan([(bound, bound.table.rows[3])])
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
            values |= {f"scale_{i}.semseg.miou": 0.30 + 0.01 * (3 - i) for i in range(4)}
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
    one, launcher = make()
    one.plan(cases(bound))
    assert {r.spec for r in launcher.runs} == {s for r in bound.table.rows for s in r.specs}
    result = one.table(bound)
    assert {r.tier for r in result.rows} == {"full"}
    assert {c.verdict for r in result.rows for c in r.checks if c.kind == "printed"} <= {"PASS", "FAIL", "IMPROVED"}
    claims = {c.subject: c.verdict for c in result.claims}
    assert claims["The multi-task baseline is worse than the single-task models"] == "PASS"
    assert claims["The FPM improves MTI-Net"] == "FAIL"  # the stand-in gives both the same figures


def test_parts_merge_to_the_whole(make: Make) -> None:
    one, _ = make()
    bound = [table("2a"), table("4")]
    one.plan(cases(*bound))
    for b in bound:
        one.table(b)
    whole = one.finish()
    parts = [one.part(b, r.name) for b in bound for r in b.table.rows]
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
    assert json.loads(text)["schema_version"] == 1
    assert len(result.runs) == 28
    assert [r.seconds for r in result.runs] == pytest.approx([1.3] * 28)
    assert (result.tier, len(result.tables)) == ("auto", 6)


# --- recording --------------------------------------------------------------------------------------------------------


def test_what_is_recorded_is_what_the_next_session_meets(make: Make, tmp_path: Path) -> None:
    first, _ = make(seeds=3, step=0.001)
    bound = [dataclasses.replace(b, measured=tmp_path / "measured") for b in tables()]
    first.plan(cases(*bound))
    for b in bound:
        first.table(b)
    assert not [c for c in first.finish().checks() if c.kind == "recorded"]
    (path,) = first.record(tmp_path / "measured")
    assert path == tmp_path / "measured" / "smoke.json"
    content = json.loads(path.read_text())
    assert len(content["runs"]) == 14
    (provenance,) = content["provenance"].values()
    assert provenance["seeds"] == "3"
    assert {"torch", "python", "cpu", "commit", "date", "command"} <= provenance.keys()
    shared = tiers.smoke(table("4").row("Final output").specs[0])
    kept = content["runs"][shared.hash()]["metrics"]
    assert {f"{s}.depth.rmse" for s in STAGES} <= kept.keys()  # every view that any table reads
    assert kept["final.semseg.miou"] == pytest.approx([0.36, 0.361, 0.362])

    again, _ = make(seeds=1)
    again.plan(cases(*bound))
    for b in bound:
        again.table(b)
    checks = [c for c in again.finish().checks() if c.kind == "recorded"]
    assert {c.verdict for c in checks} == {"PASS"}
    assert len(checks) == sum(len(b.table.rows) * sum("." in c.metric for c in b.expected.columns) for b in bound)

    worse, _ = make(lambda spec: {k: v - 0.05 for k, v in figures(spec).items()})
    worse.plan(cases(bound[0]))
    found = {(c.subject, c.verdict) for c in worse.table(bound[0]).rows[1].checks if c.kind == "recorded"}
    assert found == {("semseg.miou", "FAIL"), ("depth.rmse", "IMPROVED")}
    assert recorded.load(tmp_path / "measured", "bench") is None


def test_a_baseline_that_is_itself_selected_is_accounted_for_once(make: Make) -> None:
    session, _ = make(lambda spec: {k: math.nan for k in figures(spec)})
    bound = tables()[0]
    session.plan([(bound, bound.row(bound.expected.baseline))])
    lines = session.failures()
    assert lines
    assert len(lines) == len(set(lines))
