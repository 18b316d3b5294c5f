"""Whole runs with partial labels: every objective keeps its bits when it is killed, and teachers come first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import Outcome, complete, killed_after_every_step

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import eval_samples
from mtlrepro.data.sample import NORMALISE
from mtlrepro.data.streams import source
from mtlrepro.engine import checkpoint
from mtlrepro.engine.evaluate import evaluate, figures
from mtlrepro.engine.run import Machine, execute
from mtlrepro.errors import SpecError, StoreError
from mtlrepro.models import build_model
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.tasks import make_tasks

CPU = torch.device("cpu")
BOTH = ("semseg", "depth")
OBJECTIVES = {
    "supervised": ObjectiveSpec(),
    "partial": ObjectiveSpec("partial"),
    "consistency": ObjectiveSpec("consistency"),
    "mtpsl": ObjectiveSpec("mtpsl", options=options(encoder="segnet_nano", ramp=0.5)),
    "jtr": ObjectiveSpec("jtr", options=options(widths=(4, 4, 6, 6, 8))),
}
BESIDE: dict[str, Any] = {"unlabelled": 25, "extra": ExtraData("unlabelled")}
RUNS = {
    "supervised": {},
    "partial": {"augment": "flip_photo", "unlabelled": 25},
    "consistency": BESIDE,
    "mtpsl": {},
    "jtr": BESIDE,
}


def run_of(description: Path, name: str, tasks: Sequence[str] = BOTH, needs: tuple[RunSpec, ...] = ()) -> RunSpec:
    """A SegNet on the tiny dataset with one label a sample; batches of 3, the last one of a pass of 2."""
    data = DataSpec(
        str(description), (32, 32), "flip_crop_photo", normalise="none", labels="onelabel", labels_over=BOTH
    )
    data = replace(data, **RUNS.get(name, {}))
    extra = 1 if data.extra.name else 0
    recipe = Recipe(
        "adam", 1e-3, 0.0, 3, epochs=2, schedule="halve", evaluate_every=1, extra=extra, drop_last=bool(extra)
    )
    objective = OBJECTIVES.get(name, ObjectiveSpec(name))
    return RunSpec(data, ModelSpec("segnet", "segnet_nano", tuple(tasks)), recipe, objective, needs)


@pytest.fixture(scope="module")
def wholes(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The run of each objective, never interrupted."""
    torch.set_num_threads(1)
    return {name: complete(run_of(tiny_dataset, name), tmp_path_factory.mktemp(name)) for name in OBJECTIVES}


def owned(outcome: Outcome) -> dict[str, torch.Tensor]:
    return {k: v for k, v in outcome.tensors.items() if k.startswith("objective.")}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_run_with_partial_labels_keeps_every_bit_when_killed(
    name: str, tiny_dataset: Path, wholes: dict[str, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, whole = run_of(tiny_dataset, name), wholes[name]
    torch.rand(3)
    resumed, seen = killed_after_every_step(spec, tmp_path, monkeypatch)
    per_epoch = 2 if spec.recipe.extra else 3
    assert [position.step for position in seen] == list(range(1, 2 * per_epoch + 1))
    assert resumed.differences(whole) == []
    assert [e["step"] for e in whole.record["evaluations"]] == [per_epoch]
    lines = [json.loads(line) for line in whole.lines.splitlines()]
    assert [line["lr"] for line in lines if "lr" in line] == [1e-3] * per_epoch + [5e-4] * per_epoch
    assert whole.record["params"] == sum(v.numel() for k, v in whole.tensors.items() if is_weight(k))
    assert bool(owned(whole)) == (name in ("mtpsl", "jtr"))


def is_weight(name: str) -> bool:
    return name.startswith("model.") and not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("name", ["mtpsl", "jtr"])
def test_what_an_objective_owns_is_trained_and_stored(
    name: str, tiny_dataset: Path, wholes: dict[str, Outcome], tmp_path: Path
) -> None:
    spec, last = run_of(tiny_dataset, name), wholes[name]
    still = complete(replace(spec, recipe=replace(spec.recipe, lr=0.0)), tmp_path)
    assert owned(last).keys() == owned(still).keys()
    moved = [k for k, v in owned(last).items() if not torch.equal(v, owned(still)[k])]
    assert len(moved) > len(owned(last)) / 2
    states = {k.split(".")[1] for k in last.tensors if k.startswith("optimizer.")}
    parameters = sum(is_weight(k) for k in last.tensors) + len(owned(last))
    assert len(states) == parameters  # a state for every weight of the network and of the objective


def test_film_columns_learn_at_their_own_rate_and_their_state_is_stored(
    tiny_dataset: Path, wholes: dict[str, Outcome], tmp_path: Path
) -> None:
    """They are the optimizer's last group, so the last of its states."""
    spec, fast = run_of(tiny_dataset, "mtpsl"), wholes["mtpsl"]
    frozen = options(**dict(spec.objective.options), film_lr_factor=0.0)
    slow = complete(replace(spec, objective=ObjectiveSpec("mtpsl", options=frozen)), tmp_path / "slow")
    columns = [k for k in owned(fast) if k.endswith((".gamma", ".beta"))]
    assert columns
    first = torch.cat([owned(slow)[k].flatten() for k in columns])
    assert first.unique().numel() <= 2  # as they started: factors 1, offsets 0
    assert torch.cat([owned(fast)[k].flatten() for k in columns]).unique().numel() > 2
    indices = sorted({int(k.split(".")[1]) for k in fast.tensors if k.startswith("optimizer.")})
    shapes = [fast.tensors[f"optimizer.{i}.exp_avg"].shape for i in indices[-len(columns) :]]
    assert sorted(shapes) == sorted(owned(fast)[k].shape for k in columns)


@pytest.mark.parametrize("name", ["consistency", "mtpsl", "jtr"])
def test_the_terms_of_an_objective_are_logged_and_finite(name: str, wholes: dict[str, Outcome]) -> None:
    terms = [line["terms"] for line in map(json.loads, wholes[name].lines.splitlines()) if "terms" in line]
    assert any(not key.startswith("final/") for one in terms for key in one)
    assert all(abs(value) < 1e3 for one in terms for value in one.values())


def test_a_run_is_evaluated_on_what_it_was_trained_on(tiny_dataset: Path, wholes: dict[str, Outcome]) -> None:
    spec, whole = run_of(tiny_dataset, "partial"), wholes["partial"]
    val_set = build_dataset(source(spec.data), "val")
    tasks = make_tasks(spec.tasks, val_set.info)
    model = build_model(spec.model, {name: task.channels for name, task in tasks.items()})
    checkpoint.load_model(whole.folder / "checkpoint.safetensors", model)
    got = {
        name: figures(evaluate(model, tasks, eval_samples(val_set, (32, 32)), device=CPU, normalise=name))
        for name in NORMALISE
    }
    assert got["none"] == whole.metrics
    assert got["imagenet"] != whole.metrics


def test_labels_that_are_hidden_make_another_run(
    tiny_dataset: Path, wholes: dict[str, Outcome], tmp_path: Path
) -> None:
    spec = run_of(tiny_dataset, "partial")
    full = replace(spec, data=replace(spec.data, labels="full", unlabelled=0))
    changed = complete(full, tmp_path).differences(wholes["partial"])
    assert "metrics" in changed
    assert "trivial" not in changed  # what needs no network reads all labels


# runs that need others


@pytest.fixture(scope="module")
def teachers(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A finished single-task run of each task."""
    torch.set_num_threads(1)
    folders = [tmp_path_factory.mktemp(task) for task in BOTH]
    for spec, folder in zip(needs_of(tiny_dataset), folders, strict=True):
        complete(spec, folder)
    return folders


def needs_of(description: Path) -> tuple[RunSpec, ...]:
    return tuple(run_of(description, "partial", (task,)) for task in BOTH)


@pytest.fixture
def student(tiny_dataset: Path) -> RunSpec:
    return run_of(tiny_dataset, "must", needs=needs_of(tiny_dataset))


def test_a_student_keeps_every_bit_when_killed_and_leaves_its_teachers_alone(
    student: RunSpec, teachers: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(folder / "checkpoint.safetensors").read_bytes() for folder in teachers]
    whole = complete(student, tmp_path / "whole", needs=teachers)
    resumed, seen = killed_after_every_step(student, tmp_path / "killed", monkeypatch, teachers)
    assert [position.step for position in seen] == list(range(1, 7))
    assert resumed.differences(whole) == []
    assert [(folder / "checkpoint.safetensors").read_bytes() for folder in teachers] == before
    assert owned(whole) == {}
    assert whole.record["params"] == sum(v.numel() for k, v in whole.tensors.items() if is_weight(k))
    terms = [line["terms"] for line in map(json.loads, whole.lines.splitlines()) if "terms" in line]
    assert {"pseudo/semseg", "pseudo/depth"} <= {key for one in terms for key in one}


def test_a_student_learns_from_the_weights_of_its_teachers(
    student: RunSpec, teachers: list[Path], tmp_path: Path
) -> None:
    whole = complete(student, tmp_path / "whole", needs=teachers)
    other = tmp_path / "other"
    complete(student.needs[1], other, seed=1)
    changed = complete(student, tmp_path / "changed", needs=[teachers[0], other])
    assert "metrics" in changed.differences(whole)


def test_missing_and_useless_teachers_are_told(student: RunSpec, teachers: list[Path], tmp_path: Path) -> None:
    def check(spec: RunSpec, needs: Sequence[Path], says: str) -> None:
        with pytest.raises(SpecError, match=says) as caught:
            execute(spec, 0, tmp_path, Machine(), needs=needs)
        assert caught.value.mend
        assert not (tmp_path / "checkpoint.safetensors").exists()

    one, pair = student.needs[:1], student.needs[:1] * 2
    check(student, teachers[:1], "needs: the spec needs 2 finished runs, got 1")
    check(student, [], "needs: the spec needs 2 finished runs, got 0")
    check(replace(student, needs=()), [], "no teacher predicts this task, and samples lack its labels")
    check(replace(student, needs=one), teachers[:1], "depth: no teacher predicts this task")
    check(replace(student, needs=pair), teachers[:1] * 2, "semseg: two teachers predict one task")
    supervised = replace(student, objective=ObjectiveSpec("partial"))
    check(supervised, teachers, "needs: PartialSupervised needs no other runs, got 2")


def test_teachers_that_are_not_there_or_do_not_fit_are_told(
    student: RunSpec, teachers: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(StoreError, match="no checkpoint of a run that another one needs") as caught:
        execute(student, 0, tmp_path / "run", Machine(), needs=[teachers[0], tmp_path / "gone"])
    assert caught.value.file == tmp_path / "gone" / "checkpoint.safetensors"
    with pytest.raises(StoreError, match=r"does not fit|missing tensor|unexpected tensor") as caught:
        execute(student, 0, tmp_path / "run", Machine(), needs=teachers[::-1])
    assert caught.value.file == teachers[1] / "checkpoint.safetensors"
    assert list(checkpoint.read(teachers[1] / "checkpoint.safetensors")[0])
