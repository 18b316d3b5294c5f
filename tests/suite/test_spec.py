"""`RunSpec`: JSON round trip, and a hash that changes exactly when the spec does."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suite_fakes import make_spec

from mtlrepro.errors import SpecError
from mtlrepro.spec import (
    DataSpec,
    ExtraData,
    ModelSpec,
    ObjectiveSpec,
    Recipe,
    RunSpec,
    WeightingSpec,
    digest,
    fits,
    options,
)

names = st.sampled_from(["semseg", "depth", "normals", "edges", "a", "b"])
scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(-1e3, 1e3), st.text(max_size=3), st.none())
values = st.one_of(scalars, st.lists(scalars, max_size=3))
settings_ = st.dictionaries(names, values, max_size=3).map(lambda d: options(**d))
tasks = st.lists(names, unique=True, min_size=1, max_size=3).map(tuple)
sizes = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda s: (32 * s[0], 32 * s[1]))
counts = st.none() | st.integers(1, 9)
data = st.builds(
    DataSpec,
    names,
    sizes,
    names,
    counts,
    counts,
    settings_,
    normalise=names,
    labels=names,
    labels_over=tasks,
    unlabelled=st.integers(0, 3),
    extra=st.just(ExtraData()) | st.builds(ExtraData, names, tasks, counts, settings_),
)
models = st.builds(ModelSpec, names, names, tasks, tasks, st.none() | st.text(max_size=3), settings_)
recipes = st.builds(
    Recipe,
    names,
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 9),
    st.integers(1, 9),
    extra=st.integers(0, 2),
    drop_last=st.booleans(),
)
weightings = st.just(WeightingSpec()) | st.builds(WeightingSpec, names, settings_)
objectives = st.builds(ObjectiveSpec, names, settings_, settings_, settings_, weightings)
alone = st.builds(RunSpec, data, models, recipes, objectives)
specs = st.builds(RunSpec, data, models, recipes, objectives, st.lists(alone, max_size=1).map(tuple))


@given(specs)
@settings(deadline=None, max_examples=60)
def test_json_round_trip(spec: RunSpec) -> None:
    text = json.dumps(spec.to_json())
    again = RunSpec.from_json(json.loads(text))
    assert again == spec
    assert again.hash() == spec.hash()
    assert hash(again) == hash(spec)


@given(specs, specs)
@settings(deadline=None, max_examples=150)
def test_hashes_are_equal_exactly_for_equal_specs(one: RunSpec, two: RunSpec) -> None:
    assert (one.hash() == two.hash()) == (one == two)


def _changed(name: str, old: Any) -> Any:
    """Another value of a field."""
    if name in ("options", "weights", "losses", "val_options") and isinstance(old, tuple):
        return (("x", 1),)
    if isinstance(old, bool):
        return not old
    return {str: "other", int: 7, float: 0.123}.get(type(old), ("x", "y") if isinstance(old, tuple) else 7)


def _variants(value: Any) -> list[Any]:
    """A dataclass with each field of it and of the dataclasses in it changed, one at a time."""
    out = []
    for f in dataclasses.fields(value):
        old = getattr(value, f.name)
        inner = [v for item in old for v in _variants(item)] if f.name == "needs" else []
        changes = _variants(old) if dataclasses.is_dataclass(old) else [_changed(f.name, old)]
        new = [(v,) for v in inner] if f.name == "needs" else changes
        out += [dataclasses.replace(value, **{f.name: change}) for change in new]
    return out


def test_every_field_counts() -> None:
    spec = make_spec()
    hashes = [spec.hash(), *(v.hash() for v in _variants(spec))]
    assert len(hashes) == 1 + (14 + 5) + 6 + (4 + 2) + 16 + 1
    assert len(set(hashes)) == len(hashes)


def test_fields_that_came_late_are_written_only_where_they_say_something() -> None:
    """What was recorded before they came keeps its hash."""
    spec = make_spec()
    assert {"val_name", "val_options", "percent", "percent_seed"}.isdisjoint(spec.to_json()["data"])
    assert {"steps", "encoder_lr", "clip"}.isdisjoint(spec.to_json()["recipe"])
    assert "start" not in spec.to_json()
    late = dataclasses.replace(
        spec,
        data=dataclasses.replace(spec.data, val_name="streets"),
        recipe=dataclasses.replace(spec.recipe, steps=40_000, encoder_lr=0.0),
        start=True,
    )
    written = late.to_json()
    assert (written["data"]["val_name"], written["start"]) == ("streets", True)
    assert {k: written["recipe"].get(k) for k in ("steps", "encoder_lr", "clip")} == {
        "steps": 40_000,
        "encoder_lr": 0.0,
        "clip": None,
    }
    assert RunSpec.from_json(written) == late


def test_every_field_of_a_needed_run_counts() -> None:
    spec = dataclasses.replace(make_spec(), needs=(make_spec(lr=0.5),))
    variants = _variants(spec)
    assert len(variants) == 2 * ((14 + 5) + 6 + (4 + 2) + 16 + 1)
    hashes = [make_spec().hash(), spec.hash(), *(v.hash() for v in variants)]
    assert len(set(hashes)) == len(hashes)


def test_number_and_order_of_needed_runs_count() -> None:
    one, two = make_spec(lr=0.5), make_spec(lr=0.25)
    needs = [(), (one,), (two,), (one, two), (two, one), (one, one)]
    nested = dataclasses.replace(make_spec(), needs=(dataclasses.replace(one, needs=(two,)),))
    made = [*(dataclasses.replace(make_spec(), needs=n) for n in needs), nested]
    assert len({spec.hash() for spec in made}) == len(made)
    assert all(RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec for spec in made)


def test_what_a_spec_file_leaves_out_has_its_default() -> None:
    value = make_spec().to_json()
    for part, names in (
        ("data", ("normalise", "labels", "labels_over", "unlabelled", "extra")),
        ("recipe", ("extra", "drop_last")),
    ):
        for name in names:
            del value[part][name]
    del value["needs"], value["objective"]["losses"]
    assert RunSpec.from_json(value) == make_spec()


def test_equal_numbers_of_other_types_are_one_spec() -> None:
    assert make_spec(lr=1) == make_spec(lr=1.0)
    assert make_spec(lr=1).hash() == make_spec(lr=1.0).hash()
    assert make_spec(width=True).hash() == make_spec(width=1).hash()
    assert digest([0.1, 1]) != digest([0.1, 1.5])


def test_order_of_tasks_counts_and_order_of_options_does_not() -> None:
    assert make_spec(main=("semseg", "depth")).hash() != make_spec(main=("depth", "semseg")).hash()
    assert options(b=1, a=[1, 2]) == options(a=(1, 2), b=1) == (("a", (1, 2)), ("b", 1))


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    # A changed hash orphans every stored run and every recorded result: change it on purpose only.
    assert make_spec().hash() == "6ec993aa39b7f0b2"


def test_label_names_tasks_and_options() -> None:
    assert make_spec(fpm=False).label == "mtl/hrnet_nano[semseg+depth]{fpm=False}"
    model = ModelSpec("padnet", "hrnet18", ("depth",), ("normals", "depth"))
    assert dataclasses.replace(make_spec(), model=model).label == "padnet/hrnet18[depth|normals]"


def test_label_names_what_is_not_the_usual_objective_or_labelling() -> None:
    spec = make_spec()
    jtr = ObjectiveSpec("jtr", options=options(variant="paper"))
    data_ = dataclasses.replace(spec.data, labels="onelabel", unlabelled=50)
    plain = "mtl/hrnet_nano[semseg+depth]"
    assert dataclasses.replace(spec, objective=jtr).label == plain + "{variant=paper} jtr"
    assert dataclasses.replace(spec, objective=jtr, data=data_).label == plain + "{variant=paper} jtr onelabel-50%"
    assert dataclasses.replace(spec, data=data_).label == plain + " onelabel-50%"
    assert dataclasses.replace(spec, data=dataclasses.replace(data_, labels="full")).label == plain + " -50%"


def test_label_names_task_losses_and_what_weighs_them() -> None:
    scheme = ObjectiveSpec(losses=(("depth", "l1_near"),), weighting=WeightingSpec("lps", options(kappa=7.5)))
    assert (
        dataclasses.replace(make_spec(), objective=scheme).label
        == "mtl/hrnet_nano[semseg+depth]{depth=l1_near} lps,kappa=7.5"
    )


def test_label_names_a_second_stream_and_a_share_of_the_samples() -> None:
    spec = make_spec()
    video = dataclasses.replace(spec.data, extra=ExtraData("nyuv2_video"), percent=25)
    assert dataclasses.replace(spec, data=video).label == "mtl/hrnet_nano[semseg+depth] 25 % + nyuv2_video"


def test_tasks_of_a_network_are_named_once_main_ones_first() -> None:
    model = ModelSpec("mti_net", "hrnet18", ("depth", "semseg"), ("normals", "semseg", "depth", "edges"))
    assert dataclasses.replace(make_spec(), model=model).tasks == ("depth", "semseg", "normals", "edges")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_told(bad: float) -> None:
    with pytest.raises(SpecError, match="finite") as caught:
        make_spec(lr=bad).hash()
    assert caught.value.field
    assert caught.value.mend


def _broken(change: str) -> dict:
    value = dataclasses.replace(make_spec(), needs=(make_spec(), make_spec(lr=0.5))).to_json()
    match change:
        case "unknown":
            value["recipe"]["learnrate"] = 1
        case "missing":
            del value["model"]["backbone"]
        case "object":
            value["data"] = "nyuv2"
        case "text":
            value["recipe"]["epochs"] = "10"
        case "shape":
            value["data"]["size"] = [64]
        case "bool":
            value["recipe"]["batch"] = True
        case "nested":
            value["data"]["extra"]["train"] = "all"
        case "nested unknown":
            value["data"]["extra"]["task"] = ["depth"]
        case "needed":
            value["needs"][1]["data"]["extra"]["tasks"] = "depth"
        case "needed missing":
            del value["needs"][0]["recipe"]["lr"]
        case "needed object":
            value["needs"][1] = "teacher"
        case "needs object":
            value["needs"] = value["needs"][0]
        case "percent":
            value["data"]["unlabelled"] = 0.5
        case "flag":
            value["recipe"]["drop_last"] = 1
        case "losses":
            value["objective"]["losses"] = {"depth": "l1"}
    return value


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ("unknown", "spec.recipe", "unknown key 'learnrate'"),
        ("missing", "spec.model", "missing key 'backbone'"),
        ("object", "spec.data", "expected an object, got str"),
        ("text", "spec.recipe.epochs", "unexpected value '10'"),
        ("shape", "spec.data.size", "unexpected value"),
        ("bool", "spec.recipe.batch", "unexpected value True"),
        ("nested", "spec.data.extra.train", "unexpected value 'all'"),
        ("nested unknown", "spec.data.extra", "unknown key 'task'"),
        ("needed", "spec.needs[1].data.extra.tasks", "unexpected value 'depth'"),
        ("needed missing", "spec.needs[0].recipe", "missing key 'lr'"),
        ("needed object", "spec.needs[1]", "expected an object, got str"),
        ("needs object", "spec.needs", "unexpected value"),
        ("percent", "spec.data.unlabelled", "unexpected value 0.5"),
        ("flag", "spec.recipe.drop_last", "unexpected value 1"),
        ("losses", "spec.objective.losses", "unexpected value"),
    ],
)
def test_a_wrong_spec_file_is_told_with_file_field_and_mend(change: str, field: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        RunSpec.from_json(_broken(change), file="spec.json")
    assert (caught.value.file, caught.value.field) == ("spec.json", field)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("value", "hint", "ok"),
    [
        (1, float, True),
        (1.5, int, False),
        (True, int, False),
        (None, int | None, True),
        ((1, 2), tuple[int, int], True),
        ((1,), tuple[int, int], False),
        ((), tuple[str, ...], True),
        (("a", 1), tuple[str, ...], False),
        ({}, dict[str, int], True),
    ],
)
def test_fits(value: object, hint: object, ok: bool) -> None:
    assert fits(value, hint) is ok
