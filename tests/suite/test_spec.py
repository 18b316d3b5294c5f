"""`RunSpec`: JSON round trip, and a hash that changes exactly when the spec does."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suite_fakes import make_spec

from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe, RunSpec, digest, fits, options

names = st.sampled_from(["semseg", "depth", "normals", "edges", "a", "b"])
scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(-1e3, 1e3), st.text(max_size=3), st.none())
values = st.one_of(scalars, st.lists(scalars, max_size=3))
settings_ = st.dictionaries(names, values, max_size=3).map(lambda d: options(**d))
tasks = st.lists(names, unique=True, min_size=1, max_size=3).map(tuple)
sizes = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda s: (32 * s[0], 32 * s[1]))
specs = st.builds(
    RunSpec,
    st.builds(DataSpec, names, sizes, names, st.none() | st.integers(1, 9), st.none() | st.integers(1, 9), settings_),
    st.builds(ModelSpec, names, names, tasks, tasks, st.none() | st.text(max_size=3), settings_),
    st.builds(Recipe, names, st.floats(0, 1), st.floats(0, 1), st.integers(1, 9), st.integers(1, 9)),
    st.builds(ObjectiveSpec, names, settings_, settings_),
)


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


def _variants(spec: RunSpec) -> list[RunSpec]:
    """The spec with each of its fields changed, one at a time."""
    out = []
    for part in dataclasses.fields(spec):
        value = getattr(spec, part.name)
        for f in dataclasses.fields(value):
            old = getattr(value, f.name)
            new = {str: "other", int: 7, float: 0.123}.get(type(old), ("x", "y") if isinstance(old, tuple) else 7)
            if f.name in ("options", "weights") and isinstance(old, tuple):
                new = (("x", 1),)
            out.append(dataclasses.replace(spec, **{part.name: dataclasses.replace(value, **{f.name: new})}))
    return out


def test_every_field_counts() -> None:
    spec = make_spec()
    hashes = [spec.hash(), *(v.hash() for v in _variants(spec))]
    assert len(hashes) == 1 + 6 + 6 + 3 + 8
    assert len(set(hashes)) == len(hashes)


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
    assert make_spec().hash() == "f968081cdb268f87"


def test_label_names_tasks_and_options() -> None:
    assert make_spec(fpm=False).label == "mtl/hrnet_nano[semseg+depth]{fpm=False}"
    model = ModelSpec("padnet", "hrnet18", ("depth",), ("normals", "depth"))
    assert dataclasses.replace(make_spec(), model=model).label == "padnet/hrnet18[depth|normals]"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_told(bad: float) -> None:
    with pytest.raises(SpecError, match="finite") as caught:
        make_spec(lr=bad).hash()
    assert caught.value.field
    assert caught.value.mend


def _broken(change: str) -> dict:
    value = make_spec().to_json()
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
