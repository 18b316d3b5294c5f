"""Other settings of datasets than declared: what takes them, what is refused, and what reports say."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
from jtr_session import open_session
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.data import DATASETS
from mtlrepro.data.disk.readers.shuffled import POLICIES, Shuffled, dealt
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import SpecError
from mtlrepro.report.headline import DISCLAIMER, headline
from mtlrepro.report.jsonfile import parse_report, to_text
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, Recipe, RunSpec, options
from mtlrepro.suite import session, variants
from mtlrepro.suite.figures import figures_of
from mtlrepro.suite.launch import CostJob
from mtlrepro.suite.merge import merge
from mtlrepro.suite.session import Options, Session
from mtlrepro.suite.shrink import rehearsal, smoke
from mtlrepro.suite.table import BoundTable, bind, load_suite_file
from mtlrepro.suite.tiers import Service

RELEASED = options(normals="released", policy="released")
VKITTI2 = DataSpec("virtual_kitti2", (320, 1024), "flip", options=RELEASED)
TARGET = options(classes=8, normals="released")
ADAPTED = dataclasses.replace(
    VKITTI2,
    options=options(classes=8, normals="released", policy="all", size=(512, 1696)),
    extra=ExtraData("cityscapes", options=TARGET),
    val_name="cityscapes",
    val_options=TARGET,
)


def spec(data: DataSpec, *needs: RunSpec) -> RunSpec:
    model = ModelSpec("deeplab", "resnet101_os16", ("semseg", "depth"))
    return RunSpec(data, model, Recipe("sgd", 1e-2, 5e-4, batch=2, epochs=0, steps=9), needs=needs)


def dense_mtl(dataset: str, table: str, panel: str = "") -> BoundTable:
    file = SUITES / "dense_mtl" / f"test_{dataset}_table_{table}.py"
    return next(b for b in bind(load_suite_file(file), file) if b.expected.key == panel)


# --- what is given ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("7", 7), ("-1", -1), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("false", False)),
        *(("disjoint", "disjoint"), ("a=b", "a=b"), ("nan", "nan"), ("inf", "inf")),
        *(("1" * 20, float("1" * 20)), ("9" * 309, "9" * 309), ("9" * 5000, "9" * 5000)),
    ],
)
def test_values_are_numbers_yes_or_no_or_text(text: str, value: Any) -> None:
    ((name, found),) = variants.parse([f"name={text}"])
    assert (name, found, type(found)) == ("name", value, type(value))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["policy"], "'policy' is not NAME=VALUE"),
        (["=disjoint"], "is not NAME=VALUE"),
        (["policy="], "is not NAME=VALUE"),
        (["policy=all", "policy=disjoint"], "'policy' is given twice"),
    ],
)
def test_what_is_no_setting_is_told(given: list[str], says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        variants.parse(given)
    assert caught.value.field == "--data-option"
    assert caught.value.mend


def test_settings_are_what_readers_take_beyond_the_size() -> None:
    found = {name: {k: s.default for k, s in variants.settings(name).items()} for name in DATASETS}
    street = {"normals": "released"}
    split = {"policy": "released", "split_seed": 42}
    assert found["virtual_kitti2"] == {**street, **split, "classes": 14}
    assert found["synthia"] == {**street, **split}
    assert found["cityscapes"] == found["cityscapes_sequence"] == {**street, "classes": 16, "wall": "ignore"}
    assert found["pascal_context"] == {"with_people": False}
    assert not [name for name in ("nyuv2", "nyuv2_video", "taskonomy", "streets") if found[name]]
    assert "resized" not in found["nyuv2_invpt"]


# --- what is changed --------------------------------------------------------------------------------------------------


def test_every_dataset_of_a_run_and_of_those_it_needs_is_read_so() -> None:
    declared = spec(ADAPTED, spec(VKITTI2, spec(VKITTI2)))
    found = variants.varied(declared, options(normals="metric", policy="disjoint", split_seed=7, wall="vegetation"))
    # No image of it is evaluated on: there is no overlap to avoid.
    assert dict(found.data.options) == {**dict(ADAPTED.options), "normals": "metric", "policy": "all", "split_seed": 7}
    target = options(classes=8, normals="metric", wall="vegetation")
    assert found.data.extra.options == found.data.val_options == target
    assert found.needs[0].data.options == options(normals="metric", policy="disjoint", split_seed=7)
    assert found.needs[0].needs[0].data == found.needs[0].data
    assert RunSpec.from_json(found.to_json()) == found
    back = variants.varied(found, options(normals="released", split_seed=42, policy="all"))
    assert variants.varied(back, options(policy="disjoint")) == back
    assert {**dict(ADAPTED.options), "split_seed": 42} == dict(back.data.options)


def test_what_is_so_anyhow_is_the_same_run() -> None:
    for data in (VKITTI2, ADAPTED, DataSpec("virtual_kitti2", (64, 96)), DataSpec("nyuv2", (64, 96))):
        declared = spec(dataclasses.replace(data, options=tuple((k, v) for k, v in data.options if k != "policy")))
        chosen = options(policy="released", split_seed=42, normals="released", wall="ignore")
        assert variants.varied(declared, chosen) == declared
        assert variants.varied(declared, ()) is declared
    unlabelled = spec(dataclasses.replace(VKITTI2, unlabelled=50, extra=ExtraData("unlabelled")))
    assert variants.varied(unlabelled, options(policy="disjoint")).data.extra == unlabelled.data.extra


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"polcy": "disjoint"}, "unknown setting of these datasets 'polcy'. Did you mean 'policy'"),
        ({"size": 7}, "unknown setting of these datasets 'size'"),
        ({"policy": "disjunct"}, "unknown split policy 'disjunct'. Did you mean 'disjoint'"),
        ({"policy": 3}, "policy: unexpected value 3. Give a value of type str"),
        ({"split_seed": "x"}, "split_seed: unexpected value 'x'. Give a value of type int"),
        ({"split_seed": True}, "unexpected value True"),
        ({"normals": "metrical"}, "unknown rule for normals 'metrical'. Did you mean 'metric'"),
        ({"classes": 9}, "9 classes"),
        ({"classes": 14}, "14 classes. Give 16 or 19 or 8"),
        ({"wall": "road"}, "unknown place for walls 'road'"),
    ],
)
def test_what_readers_refuse_is_refused_without_their_files(chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        variants.check([spec(VKITTI2), spec(ADAPTED)], options(**chosen))
    assert says in str(caught.value)


def test_settings_that_fit_pass() -> None:
    variants.check([spec(VKITTI2), spec(DataSpec("nyuv2", (64, 96)))], options(policy="all", classes=8))
    variants.check([spec(ADAPTED)], options(policy="disjoint", split_seed=7, wall="vegetation", normals="metric"))
    with pytest.raises(SpecError, match="Known: none"):
        variants.check([], options(policy="disjoint"))


# --- what is said -----------------------------------------------------------------------------------------------------


def at(tier: str | None, declared: RunSpec, chosen: dict[str, Any], twin: Any = lambda s: s) -> list[str]:
    given = options(**chosen)
    served = Service(tier, (twin(variants.varied(declared, given)),) if tier else (), "")
    return variants.remarks({"row": ((declared,), served)}, given)


def test_reports_say_how_files_were_read() -> None:
    (line,) = at("full", spec(VKITTI2), {})
    assert line == (
        "Read with: virtual_kitti2 normals=released (made as in the public code), policy=released "
        "(most validation images are training images, as in the public code), split_seed=42."
    )
    assert at("rehearsal", spec(VKITTI2), {}, rehearsal) == [line]
    (line,) = at("full", spec(ADAPTED), {})
    assert line == (
        "Read with: virtual_kitti2 normals=released (made as in the public code), policy=all (all images are training "
        "images, those of the validation split too), split_seed=42; cityscapes normals=released (made as in the "
        "public code), wall=ignore (as in the public code, unlike in the paper's table 8)."
    )
    assert at("smoke", spec(ADAPTED), {}, smoke) == []
    assert at("full", spec(DataSpec("nyuv2", (64, 96))), {}) == []


def test_reports_say_what_was_chosen() -> None:
    read, changed = at("full", spec(VKITTI2), {"policy": "disjoint", "split_seed": 43, "normals": "released"})
    assert "policy=disjoint (no validation image is a training image, unlike in the public code), split_seed=43" in read
    assert changed == (
        "Chosen by --data-option: virtual_kitti2 policy=disjoint in place of released; virtual_kitti2 split_seed=43 in "
        "place of 42. Printed figures are of the declared settings."
    )
    (changed,) = at("smoke", spec(VKITTI2), {"policy": "disjoint", "normals": "metric"}, smoke)
    assert changed == (
        "Chosen by --data-option: virtual_kitti2 normals=metric in place of released; virtual_kitti2 policy=disjoint "
        "in place of released (which makes no difference to embedded scenes). Printed figures are of the declared "
        "settings."
    )
    assert at(None, spec(VKITTI2), {"policy": "disjoint"}) == []
    people = at("own", spec(DataSpec("pascal_context", (64, 96))), {"with_people": True})
    assert people == ["Chosen by --data-option: pascal_context with_people=true in place of false."]
    *_, kept = at("full", spec(ADAPTED), {"policy": "disjoint"})
    assert kept == "Chosen by --data-option: virtual_kitti2 policy=all stays (no image of it is evaluated on)."


def test_reports_say_in_which_rows_something_was_chosen() -> None:
    chosen = options(policy="disjoint", wall="vegetation")
    runs = {"Source": spec(ADAPTED), "Target": spec(dataclasses.replace(VKITTI2, name="cityscapes", options=TARGET))}
    runs |= {"Plain": spec(VKITTI2), "Quoted": spec(VKITTI2)}
    served = {name: Service("full", (variants.varied(run, chosen),), "") for name, run in runs.items()}
    served["Quoted"] = Service(None, (), "quoted")
    *_, said = variants.remarks({name: ((run,), served[name]) for name, run in runs.items()}, chosen)
    assert said == (
        "Chosen by --data-option: virtual_kitti2 policy=all stays in 'Source' (no image of it is evaluated on); "
        "cityscapes wall=vegetation in place of ignore in 'Source', 'Target'; virtual_kitti2 policy=disjoint in place "
        "of released in 'Plain'. Printed figures are of the declared settings."
    )


def test_what_makes_a_run_another_experiment_is_told_by_tier() -> None:
    chosen = options(policy="disjoint", normals="metric")
    found = {tier: variants.variation([spec(VKITTI2)], tier, chosen) for tier in ("full", "smoke", "own", None)}
    metric, disjoint = "normals=metric in place of released", "policy=disjoint in place of released"
    both = f"{metric}; {disjoint}"
    assert found == {"full": both, "smoke": metric, "own": both, None: ""}
    assert variants.variation([spec(ADAPTED), spec(VKITTI2)], "full", chosen) == both
    assert variants.variation([spec(ADAPTED)], "full", chosen) == metric
    assert variants.variation([spec(VKITTI2)], "full", RELEASED) == ""


def test_what_is_said_of_policies_is_what_they_do() -> None:
    """The sentences, held against the splits that are dealt."""
    names, counts = [f"{i:04d}" for i in range(2126)], {"train": 1700, "val": 426}
    share = {}
    for policy in POLICIES:
        parts = dealt(names, counts, policy, random.Random(policy).randrange(1000))
        share[policy] = len({*parts["train"]} & {*parts["val"]}) / len(parts["val"])
    assert 0.5 < share["released"] < 1
    assert (share["disjoint"], share["all"]) == (0, 1)
    said = {policy: Shuffled.remark(policy=policy) for policy in POLICIES}
    assert "most validation images are training images" in said["released"]
    assert "no validation image is a training image" in said["disjoint"]
    assert "all images are training images" in said["all"]


# --- in a session -----------------------------------------------------------------------------------------------------


def planned(
    bound: BoundTable, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **settings: Any
) -> tuple[Session, FakeLauncher]:
    """A session over all rows of a panel; every figure that it prints is 0.5."""

    def figures(spec: RunSpec) -> dict[str, float]:
        printed = figures_of(bound.expected).items()
        return {record_key("final", m, of): 0.5 for m, of in printed if m.partition(".")[0] in spec.model.main}

    one, launcher = open_session(monkeypatch, tmp_path, figures, data_options=options(**chosen), **settings)
    one.plan([(bound, row) for row in bound.rows])
    return one, launcher


def test_a_session_runs_the_variant_and_its_report_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bound = dense_mtl("vkitti2", "1", "VKITTI2/S-D")
    one, launcher = planned(bound, {"policy": "disjoint"}, monkeypatch, tmp_path)
    disjoint = options(normals="released", policy="disjoint")
    assert {run.spec.data.options for run in launcher.runs} == {disjoint}
    assert {run.tier for run in launcher.runs} == {"full"}
    result = one.table(bound)
    assert any(note.startswith("Read with: virtual_kitti2 ") and "policy=disjoint" in note for note in result.notes)
    assert any("policy=disjoint in place of released" in note for note in result.notes)
    assert {row.varied for row in result.rows if row.printed and row.tier} == {"policy=disjoint in place of released"}
    decided = {"PASS", "FAIL", "IMPROVED", "XFAIL"}
    printed = [c for row in result.rows for c in row.checks if c.kind == "printed"]
    why = "run with policy=disjoint in place of released: another experiment than the printed one"
    assert {(c.verdict, c.reason) for c in printed if c.verdict != "QUOTED"} == {("SKIPPED", why)}
    assert not [c for c in result.claims if c.verdict in decided]
    assert any(row.measured for row in result.rows)
    assert [row.delta["own"] for row in result.rows if row.tier]
    assert not [row for row in result.rows if "printed" in row.delta]
    assert not one.failures()
    assert headline(one.finish()).sentences[0] == (
        f"{DISCLAIMER}: what ran at tier full was run with policy=disjoint in place of released, which is "
        "another experiment."
    )
    merged = merge([one.part(bound, row.name) for row in bound.rows], one.finish())
    assert merged.tables[0].notes == result.notes
    assert parse_report(json.loads(to_text(one.finish()))).tables[0].notes == result.notes

    declared, other = planned(bound, {}, monkeypatch, tmp_path)
    assert {run.spec.data.options for run in other.runs} == {RELEASED}
    assert not {run.key for run in other.runs} & {run.key for run in launcher.runs}
    notes = declared.table(bound).notes
    assert [n for n in notes if "policy=released" in n]
    assert not [n for n in notes if "--data-option" in n]
    assert not [row for row in declared.table(bound).rows if row.varied]
    assert {c.verdict for row in declared.table(bound).rows for c in row.checks if c.kind == "printed"} & decided


def test_another_number_of_classes_leaves_the_paper_s_network_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bound = dense_mtl("vkitti2", "1", "VKITTI2/S-D")
    channels = []
    for chosen in ({}, {"classes": 8}):
        _, launcher = planned(bound, chosen, monkeypatch, tmp_path)
        channels.append({job.channels for job in launcher.jobs.values() if isinstance(job, CostJob)})
        assert {dict(run.spec.data.options).get("classes", 14) for run in launcher.runs} == {chosen.get("classes", 14)}
    assert channels[0] == channels[1]


def test_sources_of_an_adaptation_are_read_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bound = dense_mtl("synthia_to_cityscapes", "6a")
    one, launcher = planned(bound, {"policy": "disjoint"}, monkeypatch, tmp_path)
    assert {dict(run.spec.data.options).get("policy") for run in launcher.runs} == {"all", None}
    result = one.table(bound)
    assert not [row for row in result.rows if row.varied]
    assert {c.verdict for row in result.rows for c in row.checks if c.kind == "printed"} & {"PASS", "FAIL"}
    (note,) = [n for n in result.notes if "--data-option" in n]
    assert "synthia policy=all stays in 'STL source'" in note
    assert "Printed figures" not in note


def test_references_and_embedded_twins_follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bound = dense_mtl("vkitti2", "1", "VKITTI2/S-D-N")
    one, launcher = planned(bound, {"normals": "metric"}, monkeypatch, tmp_path, gpus=0, data=False)
    assert {dict(run.spec.data.options)["normals"] for run in launcher.runs} == {"metric"}
    assert {run.spec.data.name for run in launcher.runs} == {"drives"}
    notes = one.table(bound).notes
    assert not [n for n in notes if n.startswith("Read with")]
    assert [n for n in notes if "virtual_kitti2 normals=metric in place of released. Printed" in n]
    silent, _ = planned(bound, {}, monkeypatch, tmp_path, gpus=0, data=False)
    assert not [n for n in silent.table(bound).notes if "normals=" in n]


def test_nothing_is_planned_where_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for chosen, says in (({"polcy": "all"}, "unknown setting"), ({"policy": "none"}, "unknown split policy 'none'")):
        one, launcher = open_session(monkeypatch, tmp_path, lambda spec: {}, data_options=options(**chosen))
        bound = dense_mtl("vkitti2", "1", "VKITTI2/S-D")
        with pytest.raises(SpecError, match=says):
            one.plan([(bound, row) for row in bound.rows])
        assert launcher.jobs == {}


def test_files_on_disk_are_read_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A rehearsal up to the trainings: samples of another split have another digest."""
    monkeypatch.setattr(session, "program_digest", lambda spec: "p" * 16)
    synthesize("virtual_kitti2", tmp_path / "data", {"train": 4, "val": 2}, (64, 96), 0)
    bound = dense_mtl("vkitti2", "1", "VKITTI2/S-D")
    found = {}
    for policy in ("released", "disjoint"):
        launcher = FakeLauncher(lambda spec: {})
        chosen = options(policy=policy)
        given = Options("full", runs=tmp_path / "runs", data_root=tmp_path / "data", data_options=chosen)
        one = Session(given, launcher)
        one.plan([(bound, bound.row("MTL [27]"))])
        assert {run.tier for run in launcher.runs} == {"rehearsal"}
        found[policy] = {run.data for run in launcher.runs}
        notes = one.table(bound).notes
        assert [n for n in notes if f"policy={policy} (" in n]
        assert len([n for n in notes if "--data-option" in n]) == (policy == "disjoint")
    assert len(found["released"]) == len(found["disjoint"]) == 1
    assert found["released"] != found["disjoint"]
