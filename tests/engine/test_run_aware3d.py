"""Whole runs of the 3D-aware regularizer's kind: what `execute` hands to such objectives, and that it all resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_runs import Outcome, complete, killed_after_every_step

from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Options, Recipe, RunSpec, options

BOTH = ("semseg", "depth")
ROOMS = DataSpec("scenes", (32, 64), "flip", train=4, val=2, options=options(classes=13))
FRAMES = ExtraData("scenes", ("depth",), train=3, options=options(classes=13, seed=1, frames=True), augment="none")
MODEL = ModelSpec("invpt", "vit_nano", BOTH, options=options(width=16, prediction_width=8))
RECIPE = Recipe("adam", 1e-3, 1e-6, batch=2, epochs=2, evaluate_every=1)
SMALL = {"channels": 4, "hidden": 8, "field_hidden": 4, "samples": 4}

HOST = RunSpec(ROOMS, MODEL, RECIPE)
SECOND_VIEW = replace(HOST, data=replace(ROOMS, extra=FRAMES), recipe=replace(RECIPE, extra=1))


def with_objective(spec: RunSpec, name: str, chosen: Options = ()) -> RunSpec:
    return replace(spec, objective=ObjectiveSpec(name, options=chosen))


RUNS = {
    "aware3d": with_objective(HOST, "aware3d", options(**SMALL)),
    "auxiliary_heads": with_objective(HOST, "auxiliary_heads"),
    "second view": with_objective(SECOND_VIEW, "aware3d", options(cross_view="corrected", **SMALL)),
}
HOSTS = {"final", "initial"}
VIEWS = {
    "aware3d": {"regularizer", "average"},
    "auxiliary_heads": set(),
    "second view": {"regularizer", "average"},
}
"""Of a run's figures, beside the host's own predictions."""

FURTHER = {
    "aware3d": {"rendered/semseg", "rendered/depth", "alpha"},
    "auxiliary_heads": {f"auxiliary/{stage}/{task}" for stage in HOSTS for task in BOTH} | {"alpha"},
    "second view": {"rendered/semseg", "rendered/depth", "cross/depth", "alpha"},
}
"""Terms of the log beside the host's."""

OWNED = {"aware3d": {"encoder", "volume"}, "auxiliary_heads": {"decoder"}, "second view": {"encoder", "volume"}}
"""Parts of the objective that the checkpoint has."""


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Each run, never interrupted."""
    torch.set_num_threads(1)
    return {name: complete(spec, tmp_path_factory.mktemp("whole")) for name, spec in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_views_of_the_objective_are_judged_after_the_last_step_alone(name: str, wholes: dict[str, Outcome]) -> None:
    record = wholes[name].record
    assert {key.split(".")[0] for key in record["metrics"]} == HOSTS | VIEWS[name]
    (periodic,) = record["evaluations"]
    assert {key.split(".")[0] for key in periodic["metrics"]} == HOSTS
    for view in VIEWS[name]:
        assert {key.split(".")[1] for key in record["metrics"] if key.startswith(f"{view}.")} == set(BOTH)


@pytest.mark.parametrize("name", RUNS)
def test_terms_of_the_objective_are_logged(name: str, wholes: dict[str, Outcome]) -> None:
    lines = [line for text in wholes[name].lines.splitlines() if "terms" in (line := json.loads(text))]
    host = {f"{stage}/{task}" for stage in HOSTS for task in BOTH}
    assert [set(line["terms"]) for line in lines] == [host | FURTHER[name]] * len(lines)
    assert lines


@pytest.mark.parametrize("name", RUNS)
def test_what_the_objective_owns_is_trained_and_stored(name: str, wholes: dict[str, Outcome]) -> None:
    names = [key for key in wholes[name].tensors if key.startswith("objective.")]
    assert {key.split(".")[1] for key in names} == OWNED[name]
    assert wholes[name].record["params"] == wholes["aware3d"].record["params"]  # the host's


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_keeps_every_bit(
    name: str, wholes: dict[str, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.rand(3)
    resumed, seen = killed_after_every_step(RUNS[name], tmp_path, monkeypatch)
    assert [position.step for position in seen] == [1, 2, 3, 4]
    assert resumed.differences(wholes[name]) == []
