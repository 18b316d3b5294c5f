"""A comparison on a dataset of one's own: its table, and the whole way through a session."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evidence_fakes import reprinted

from mtlrepro.cli import main
from mtlrepro.errors import DataError, MissingExtra, SpecError
from mtlrepro.expected.schema import Place
from mtlrepro.metrics.delta import delta_m
from mtlrepro.spec import WeightingSpec, options
from mtlrepro.suite import session
from mtlrepro.suite.launch import Inline, Pool
from mtlrepro.suite.own import Comparison, compare
from mtlrepro.suite.results import SessionResult
from mtlrepro.suite.session import OWN_TIER, Options, Session
from mtlrepro.suite.table import BoundTable


@pytest.fixture
def comparison(tiny_dataset: Path) -> Comparison:
    return Comparison(
        dataset=str(tiny_dataset),
        methods=("stl", "mtl"),
        labels="full",
        tasks=(),
        aux=(),
        backbone="hrnet_nano",
        weights=None,
        size=(32, 32),
        augment="flip",
        epochs=1,
        batch=4,
        lr=1e-3,
        loss_weights=(("depth", 0.5),),
        evaluate_every=0,
    )


def changed(comparison: Comparison, **values: Any) -> BoundTable:
    return compare(dataclasses.replace(comparison, **values))


def test_a_row_a_method_and_a_column_a_task(comparison: Comparison) -> None:
    bound = compare(comparison)
    assert [r.name for r in bound.rows] == ["stl", "mtl"]
    assert [s.model.main for s in bound.row("stl").specs] == [("semseg",), ("depth",)]
    assert [s.model.main for s in bound.row("mtl").specs] == [("semseg", "depth")]
    assert [(c.metric, c.unit, c.better) for c in bound.expected.columns] == [
        ("semseg.miou", "%", "higher"),
        ("depth.rmse", "m", "lower"),
        ("delta_m", "%", "higher"),
    ]
    assert bound.expected.baseline == "stl"
    assert bound.measured is None
    assert (bound.key, bound.expected.key, bound.expected.claims) == (f"own/{bound.table.dataset}/comparison", "", ())
    assert bound.rows == tuple(bound.table.rows)
    assert all(bound.expected.cells(line) == {} for line in bound.expected.rows)


def test_loss_weights_go_where_their_task_is(comparison: Comparison) -> None:
    bound = compare(comparison)
    assert [s.objective.weights for s in bound.row("stl").specs] == [(), (("depth", 0.5),)]
    assert bound.row("mtl").specs[0].objective.weights == (("depth", 0.5),)


def test_auxiliary_tasks_go_to_methods_with_a_front_end(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("mtl", "padnet"), tasks=("semseg",), aux=("depth",))
    assert [r.specs[0].model.aux for r in bound.rows] == [(), ("semseg", "depth")]
    assert bound.expected.baseline == "mtl"  # no stl among them


def test_the_place_of_the_caller_does_not_matter(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(comparison.dataset)
    monkeypatch.chdir(file.parent)
    assert changed(comparison, dataset=file.name).row("mtl").specs == compare(comparison).row("mtl").specs


def test_a_method_or_task_named_twice_counts_once(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("mtl", "mtl"), tasks=("depth", "depth"))
    assert [r.name for r in bound.rows] == ["mtl"]
    assert bound.row("mtl").specs[0].model.main == ("depth",)


def test_labels_are_dealt_out_among_the_main_tasks_of_every_method(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("stl/partial", "mtl/partial"), labels="onelabel")
    for row in bound.rows:
        assert {(s.data.labels, s.data.labels_over) for s in row.specs} == {("onelabel", ("semseg", "depth"))}
    assert ", onelabel: hrnet_nano" in bound.expected.caption
    whole = compare(comparison)
    assert {(s.data.labels, s.data.labels_over) for r in whole.rows for s in r.specs} == {("full", ())}
    assert "label" not in whole.expected.caption


def test_a_method_is_an_architecture_and_an_objective(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("mtl", "mtl/jtr", "stl/partial"), labels="onelabel")
    assert [r.name for r in bound.rows] == ["mtl", "mtl/jtr", "stl/partial"]
    named = {r.name: [(s.model.arch, s.objective.name, s.model.main) for s in r.specs] for r in bound.rows}
    assert named["mtl"] == [("mtl", "supervised", ("semseg", "depth"))]
    assert named["mtl/jtr"] == [("mtl", "jtr", ("semseg", "depth"))]
    assert named["stl/partial"] == [("stl", "partial", ("semseg",)), ("stl", "partial", ("depth",))]
    assert not any(s.needs for r in bound.rows for s in r.specs)


@pytest.mark.parametrize(
    ("methods", "baseline"),
    [
        (("mtl", "mtl/jtr"), "mtl"),
        (("mtl", "stl/partial"), "stl/partial"),
        (("mt_cp_single", "mtl"), "mt_cp_single"),
        (("mtl", "mt_cp_single", "stl/partial"), "mt_cp_single"),
        (("mt_cp_single", "mtl", "stl"), "stl"),
    ],
)
def test_gains_are_against_single_task_networks(
    methods: tuple[str, ...], baseline: str, comparison: Comparison
) -> None:
    bound = changed(comparison, methods=methods, weightings=("fixed", "lps"))
    assert bound.expected.baseline == baseline
    alone = [row.name for row in bound.rows if all(len(spec.model.main) == 1 for spec in row.specs)]
    assert alone == [name for name in methods if name.startswith(("stl", "mt_cp_single"))]
    assert all([spec.model.main for spec in bound.row(name).specs] == [("semseg",), ("depth",)] for name in alone)


def test_teachers_are_single_task_runs_on_the_same_labels(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("mtl/partial", "mtl/must"), labels="onelabel")
    (student,) = bound.row("mtl/must").specs
    assert student.objective.name == "must"
    assert [(n.model.arch, n.model.main, n.objective.name) for n in student.needs] == [
        ("mtl", ("semseg",), "partial"),
        ("mtl", ("depth",), "partial"),
    ]
    assert {(n.data, n.recipe, n.needs) for n in student.needs} == {(student.data, student.recipe, ())}
    assert [n.objective.weights for n in student.needs] == [(), (("depth", 0.5),)]


def test_stitched_networks_start_from_runs_that_a_row_of_single_task_networks_shares(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("deeplab_single", "cross_stitch"), backbone="resnet_nano")
    (stitched,) = bound.row("cross_stitch").specs
    assert stitched.needs == bound.row("deeplab_single").specs
    assert stitched.start
    assert [need.model.main for need in stitched.needs] == [("semseg",), ("depth",)]
    assert bound.expected.baseline == "deeplab_single"
    assert not any(spec.start for spec in stitched.needs)
    alone = changed(comparison, methods=("cross_stitch",), backbone="resnet_nano", weightings=("fixed", "dwa"))
    assert {row.specs[0].needs for row in alone.rows} == {stitched.needs}


@pytest.mark.parametrize(
    ("method", "labels", "objectives"),
    [
        ("cross_stitch/aware3d", "full", ["supervised"] * 2),
        ("cross_stitch/partial", "full", ["partial"] * 2),
        ("cross_stitch/partial", "onelabel", ["partial"] * 2),
        ("cross_stitch/consistency", "onelabel", ["partial"] * 2),
        ("cross_stitch/must", "onelabel", ["partial"] * 4),  # the last two teach
    ],
)
def test_stitched_networks_start_from_runs_on_the_same_labels(
    method: str, labels: str, objectives: list[str], comparison: Comparison
) -> None:
    small = options(channels=4, hidden=8, field_hidden=4, samples=4) if "aware3d" in method else ()
    values = {"labels": labels, "backbone": "resnet_nano", "objective_options": small}
    (stitched,) = changed(comparison, methods=(method,), **values).row(method).specs
    assert [need.objective.name for need in stitched.needs] == objectives
    assert {(n.data, n.recipe, n.model.arch) for n in stitched.needs} == {
        (stitched.data, stitched.recipe, "deeplab_single")
    }


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"methods": ("mti",)}, SpecError, "unknown architecture 'mti'.*mti_net"),
        ({"methods": ("mti/jtr",)}, SpecError, "unknown architecture 'mti'.*mti_net"),
        ({"methods": ("mtl", "mtl/jrt")}, SpecError, "unknown objective 'jrt'.*'jtr'"),
        ({"methods": ("mtl/jtr/must",)}, SpecError, "unknown objective 'jtr/must'"),
        ({"labels": "one"}, SpecError, "--labels: unknown label setting 'one'.*'onelabel'"),
        ({"methods": ()}, SpecError, "no method"),
        ({"tasks": ("normals",)}, SpecError, "unknown task 'normals'"),
        ({"aux": ("normals",)}, SpecError, "unknown task 'normals'"),
        ({"tasks": ("semseg",)}, SpecError, "unknown task 'depth'"),  # it has a loss weight
        ({"epochs": 0}, SpecError, "0 epochs"),
        ({"batch": 1}, SpecError, "batches of 1"),
        ({"evaluate_every": -1}, SpecError, "^--evaluate-every: evaluations -1 epochs apart"),
        (
            {"methods": ("my/method.py",)},
            SpecError,
            "^--methods: names a file, but no class in it",
        ),
        ({"dataset": "kitti"}, SpecError, "unknown dataset 'kitti'"),
        ({"dataset": "nowhere.toml"}, DataError, "nowhere.toml"),
        # what only a network that is built can refuse
        ({"methods": ("mtl", "mt_cp"), "backbone": "segnet_nano"}, SpecError, r"^mt_cp: model\.backbone: .*stride 4"),
        ({"methods": ("mt_cp",), "tasks": ("depth",)}, SpecError, r"^mt_cp: model\.main: coherence fusion needs other"),
        *(
            (
                {"methods": ("cross_stitch",), "backbone": backbone},
                SpecError,
                r"^cross_stitch: model\.backbone: .* stages of ResNets.*'resnet50_os8', 'resnet18_os8', 'resnet_n",
            )
            for backbone in ("hrnet_nano", "segnet_nano", "vit_nano")
        ),
        (
            {"methods": ("cross_stitch",), "backbone": "resnet_nano", "tasks": ("depth",), "loss_weights": ()},
            SpecError,
            r"^cross_stitch: model\.main: a cross-stitch unit needs other tasks",
        ),
        ({"methods": ("mt_cp/must",)}, SpecError, r"^mt_cp/must: model\.main: coherence fusion needs other"),
        ({"weights": "hrnet_w18.ms_in1k"}, SpecError, r"^stl: model\.weights: unknown weights tag of backbone hrnet_n"),
        ({"backbone": "resnet_nano", "size": (50, 70)}, SpecError, r"^stl: data\.size: .* 50x70 pixels"),
        (
            {"loss_weights": (("depth", 0.0),), "weightings": ("fixed", "lps")},
            SpecError,
            r"^mtl \(lps\): objective\.weights\.depth: a loss without weight",
        ),
        ({"lr": 0.0, "weightings": ("gradnorm",)}, SpecError, r"^mtl \(gradnorm\): recipe\.lr: a rate of 0"),
        *(
            (
                {"methods": (f"{arch}/coherence",), "backbone": backbone, "objective_options": options(cosine=0.1)},
                SpecError,
                rf"^{arch}/coherence: objective\.options\.cosine: the model has no coherence fusion modules",
            )
            for arch, backbone in (("mtl", "hrnet_nano"), ("segnet", "segnet_nano"))
        ),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(
    values: dict[str, Any], error: type, says: str, comparison: Comparison
) -> None:
    with pytest.raises(error, match=says) as caught:
        changed(comparison, **values)
    assert caught.value.mend


def test_an_extra_is_asked_for_at_once_and_only_where_it_is_needed(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert compare(comparison).rows
    with pytest.raises(MissingExtra, match=r"^stl: Mask2Former needs transformers"):
        changed(comparison, backbone="mask2former_nano")


def test_a_network_with_branches_can_draw_them_together(comparison: Comparison) -> None:
    state = torch.random.get_rng_state()
    bound = changed(comparison, methods=("mt_cp/coherence",), objective_options=options(cosine=0.1))
    assert bound.rows[0].specs[0].objective.options == (("cosine", 0.1),)
    assert torch.equal(torch.random.get_rng_state(), state)


# --- settings of objectives -------------------------------------------------------------------------------------------


def test_a_setting_goes_to_all_methods_whose_objective_has_it(comparison: Comparison) -> None:
    chosen = options(alpha=2.0, maps="all")
    methods = ("mtl", "mtl/aware3d", "padnet/aware3d", "mtl/auxiliary_heads")
    bound = changed(comparison, methods=methods, objective_options=chosen)
    settings = {row.name: row.specs[0].objective.options for row in bound.rows}
    assert settings == {
        "mtl": (),
        "mtl/aware3d": chosen,
        "padnet/aware3d": chosen,
        "mtl/auxiliary_heads": options(alpha=2.0),
    }
    assert ", alpha=2.0, maps=all: hrnet_nano" in bound.expected.caption
    assert "maps=all" in bound.row("mtl/aware3d").specs[0].label
    assert changed(comparison, methods=methods).row("mtl").specs == bound.row("mtl").specs


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"map": "all"}, r"--objective-option: unknown setting of these objectives 'map'\. Did you mean 'maps'"),
        ({"maps": "al"}, r"objective\.options\.maps: unknown choice of maps: 'al'"),
        ({"samples": 2.5}, r"objective\.options\.samples: unexpected value 2\.5"),
        ({"base": "multi"}, r"objective\.options\.base: unknown objective 'multi'"),
    ],
)
def test_a_setting_that_no_objective_takes_is_told_before_anything_runs(
    chosen: dict[str, Any], says: str, comparison: Comparison
) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        changed(comparison, methods=("mtl", "mtl/aware3d"), objective_options=options(**chosen))
    assert caught.value.mend


def test_a_setting_of_methods_that_have_none_is_told(comparison: Comparison) -> None:
    with pytest.raises(SpecError, match="--objective-option: 'maps': no chosen objective has any setting"):
        changed(comparison, objective_options=options(maps="all"))


# --- loss weightings --------------------------------------------------------------------------------------------------


def test_a_row_a_method_and_weighting_but_one_for_single_task_networks(comparison: Comparison) -> None:
    methods, weightings = ("stl", "mtl", "padnet/multi_scale"), ("fixed", "lps", "dwa", "lps")
    bound = changed(comparison, methods=methods, weightings=weightings)
    assert [r.name for r in bound.rows] == [
        *("stl", "mtl", "mtl (lps)", "mtl (dwa)"),
        *("padnet/multi_scale", "padnet/multi_scale (lps)", "padnet/multi_scale (dwa)"),
    ]
    schemes = {r.name: {s.objective.weighting.name for s in r.specs} for r in bound.rows}
    assert schemes["stl"] == schemes["mtl"] == {"fixed"}
    assert schemes["mtl (lps)"] == schemes["padnet/multi_scale (lps)"] == {"lps"}
    assert bound.expected.baseline == "stl"
    assert ", loss weighting fixed or lps or dwa: hrnet_nano" in bound.expected.caption
    plain = changed(comparison, methods=methods)
    assert all(plain.row(name).specs == bound.row(name).specs for name in methods)
    assert "weighting" not in plain.expected.caption
    assert changed(comparison, methods=("mtl",), weightings=("dwa",)).expected.baseline == "mtl (dwa)"


def test_a_setting_of_weightings_goes_to_all_that_have_it(comparison: Comparison) -> None:
    chosen = options(kappa=7.5)
    bound = changed(comparison, weightings=("fixed", "lps", "dwa"), weighting_options=chosen)
    found = {r.name: r.specs[0].objective.weighting for r in bound.rows}
    assert found == {
        "stl": WeightingSpec(),
        "mtl": WeightingSpec(),
        "mtl (lps)": WeightingSpec("lps", chosen),
        "mtl (dwa)": WeightingSpec("dwa"),
    }
    assert ", kappa=7.5: hrnet_nano" in bound.expected.caption


def test_teachers_have_nothing_to_weigh(comparison: Comparison) -> None:
    bound = changed(comparison, methods=("mtl/must",), labels="onelabel", weightings=("uncertainty",))
    (student,) = bound.row("mtl/must (uncertainty)").specs
    assert student.objective.weighting == WeightingSpec("uncertainty")
    assert {n.objective.weighting for n in student.needs} == {WeightingSpec()}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"weightings": ("lsp",)}, r"unknown weighting 'lsp'\. Did you mean 'lps'"),
        (
            {"weightings": ("lps", "dwa"), "weighting_options": options(kapa=1)},
            r"--weighting-option: unknown setting of these weightings 'kapa'\. Did you mean 'kappa'",
        ),
        ({"weighting_options": options(kappa=1)}, "--weighting-option: 'kappa': no chosen weighting has any setting"),
        ({"weightings": ("lps",), "weighting_options": options(kappa="wide")}, r"kappa.*'wide'"),
        ({"weightings": ("lps",), "methods": ("stl",)}, "--weighting: every network has one task"),
        (
            {"weightings": ("lps",), "methods": ("mtl",), "tasks": ("depth",)},
            "--weighting: every network has one task",
        ),
    ],
)
def test_a_weighting_that_does_not_fit_is_told_before_anything_runs(
    values: dict[str, Any], says: str, comparison: Comparison
) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        changed(comparison, **values)
    assert caught.value.mend


# --- the whole way ----------------------------------------------------------------------------------------------------


def run(bound: BoundTable, runs: Path, launcher: Any) -> tuple[Session, SessionResult]:
    one = Session(Options(OWN_TIER, seeds=1, runs=runs), launcher)
    try:
        one.plan([(bound, r) for r in bound.rows])
        one.table(bound)
        return one, one.finish()
    finally:
        one.close()


def test_compare_twice_trains_once(comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_gpus", lambda: 0)
    bound, runs, events = compare(comparison), tmp_path / "runs", []
    first, result = run(bound, runs, Pool(["cpu", "cpu"], events.append))
    assert first.total_runs == len(result.runs) == 3
    assert not any(r.reused for r in result.runs)
    assert {r.tier for r in result.runs} == {"own"}
    assert {e["key"] for e in events if e.get("done")} <= {r.key for r in result.runs}

    stl, mtl = result.tables[0].rows
    assert [len(r.runs) for r in (stl, mtl)] == [2, 1]
    base = {m: stl.metrics[m].mean for m in ("semseg.miou", "depth.rmse")}
    ours = {m: mtl.metrics[m].mean for m in base}
    assert all(map(math.isfinite, [*base.values(), *ours.values()]))
    assert mtl.delta == {"own": pytest.approx(delta_m(ours, base, {"semseg.miou": "higher", "depth.rmse": "lower"}))}
    assert stl.delta["own"] == pytest.approx(0, abs=1e-9)
    assert mtl.measured["semseg"].mean == pytest.approx(100 * ours["semseg.miou"])
    assert {c.kind for c in mtl.checks} == {"trivial"}
    assert stl.resources["params"] > mtl.resources["params"] > 0

    for info in result.runs:
        names = {p.name for p in Path(info.directory).iterdir()}
        assert {"spec.json", "env.json", "metrics.jsonl", "checkpoint.safetensors", "result.json"} <= names
        assert not {n for n in names if n == "lock" or n.endswith(".tmp")}
        assert json.loads((Path(info.directory) / "spec.json").read_text())["seed"] == 0
    times = {p: p.stat().st_mtime_ns for p in runs.rglob("*") if p.is_file()}

    _, again = run(bound, runs, Inline())
    assert all(r.reused for r in again.runs)
    assert [r.reused for r in again.tables[0].rows] == [True, True]
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("*") if p.is_file()} == times
    assert [r.metrics for r in again.tables[0].rows] == [stl.metrics, mtl.metrics]

    # the same program in another process and store gives the same figures, bit for bit
    only = dataclasses.replace(reprinted(bound, baseline=Place(row="mtl")), rows=(bound.row("mtl"),))
    _, elsewhere = run(only, tmp_path / "other", Inline())
    assert not any(r.reused for r in elsewhere.runs)
    assert elsewhere.tables[0].rows[-1].metrics == mtl.metrics


def test_a_changed_sample_is_a_new_run(comparison: Comparison, tmp_path: Path) -> None:
    shutil.copytree(Path(comparison.dataset).parent, tmp_path / "data")
    bound = changed(comparison, dataset=str(tmp_path / "data" / "tiny.toml"), methods=("mtl",))

    def keys() -> list[str]:
        one = Session(Options(OWN_TIER, runs=tmp_path / "runs"), Inline())
        one.plan([(bound, r) for r in bound.rows])
        return [run.key for plan in one._plans.values() for runs in plan.runs for run in runs]

    before = keys()
    assert keys() == before
    depth = tmp_path / "data" / "depth" / "train" / "0.npy"
    np.save(depth, np.load(depth) + 0.5)
    changed_file = keys()
    description = tmp_path / "data" / "tiny.toml"
    description.write_text(description.read_text().replace("ignore = [9]", "ignore = [9, 8]"))
    assert len({*before, *changed_file, *keys()}) == 3


@pytest.mark.parametrize("objective", ["adaptation", "self_supervised"])
def test_an_objective_that_needs_more_than_a_dataset_is_refused_at_once(objective: str, comparison: Comparison) -> None:
    with pytest.raises(SpecError, match=rf"'{objective}' needs .*, which --dataset runs do not have"):
        compare(dataclasses.replace(comparison, methods=(f"dense_mtl/{objective}",)))


@pytest.mark.slow
def test_stitched_networks_through_the_command_line(tiny_dataset: Path, tmp_path: Path) -> None:
    """The row of single-task networks and the networks that a stitched one starts from are the same runs."""
    arguments = ["run", "--dataset", str(tiny_dataset), "--backbone", "resnet_nano", "--size", "32x32", "--epochs", "1"]
    folders = ["--batch", "4", "--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    code = main([*arguments, "--methods", "deeplab_single", "cross_stitch", *folders])
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    (table,) = result["tables"]
    checks = {check["verdict"] for row in table["rows"] for check in row["checks"]}
    assert code == (0 if checks <= {"PASS"} else 1)
    assert [row["name"] for row in table["rows"]] == ["deeplab_single", "cross_stitch"]
    assert [len(row["runs"]) for row in table["rows"]] == [2, 1]
    assert math.isfinite(table["rows"][1]["delta"]["own"])
    specs = [json.loads(file.read_text())["spec"] for file in (tmp_path / "runs").glob("*/spec.json")]
    (stitched,) = [spec for spec in specs if spec["model"]["arch"] == "cross_stitch"]
    assert len(specs) == 3
    assert all(need in specs for need in stitched["needs"])
