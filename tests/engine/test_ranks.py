"""Two real processes that share every batch do what one process does, for every objective and weighting."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from engine_runs import EVERY_STEP, Outcome, complete, spec_over
from gloo_team import RANKS, Team
from shared_trainings import STEPS, TRAININGS, Followed, followed
from tiny_dataset import write_tiny_dataset

from mtlrepro import collective
from mtlrepro.data import build_dataset
from mtlrepro.data.loader import eval_samples
from mtlrepro.engine import checkpoint, ranks
from mtlrepro.engine.begin import FILE
from mtlrepro.engine.evaluate import evaluate, figures, share, whole
from mtlrepro.engine.run import execute
from mtlrepro.engine.train import take_step
from mtlrepro.errors import SpecError, StoreError
from mtlrepro.models import build_model
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.spec import RunSpec
from mtlrepro.tasks import make_tasks

FIRST, LATER = 1e-9, 1e-5
"""Relative to the largest gradient of a tensor, in float64: sums in another order, and what Adam makes of them where a
gradient is all rounding."""


def assert_same_training(part: Followed, one: Followed) -> None:
    assert len(part.losses) == len(one.losses) == STEPS
    for step, (mine, theirs) in enumerate(zip(part.losses, one.losses, strict=True)):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, rel=LATER if step else FIRST, abs=1e-12), (step, name)
    for step, (mine, theirs) in enumerate(zip(part.gradients, one.gradients, strict=True)):
        largest = max(float(gradient.abs().max()) for gradient in theirs.values() if gradient is not None)
        for name, gradient in theirs.items():
            own = mine[name]
            assert (own is None) == (gradient is None), (step, name)
            if own is not None and gradient is not None:
                bound = (LATER if step else FIRST) * (float(gradient.abs().max()) + 1e-3 * largest)
                assert float((own - gradient).abs().max()) <= bound, (step, name, bound)
    assert part.state.keys() == one.state.keys()
    for name, value in one.state.items():
        said = partial("{}: {}".format, name)
        torch.testing.assert_close(part.state[name], value, rtol=LATER, atol=1e-6, msg=said)


def test_every_objective_and_weighting_is_tried() -> None:
    assert {spec.objective.name for spec in TRAININGS.values()} == set(OBJECTIVES)
    tried = {spec.objective.weighting.name for spec in TRAININGS.values()}
    assert tried == set(WEIGHTINGS) - {"equal"}  # a constant factor


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_as_one(name: str, team: Team) -> None:
    alone, parts = followed(name), team.values(followed, name)
    for part in parts:
        assert_same_training(part, alone)
    assert all(torch.equal(value, parts[1].state[key]) for key, value in parts[0].state.items())


class Stopped(Exception):
    """Ends a run in all processes at once."""


def ran(spec: RunSpec, folder: Path, stop: int | None = None) -> dict[str, Any]:
    """A run's record; stopped before a step, None."""
    taken = itertools.count(1)
    real = take_step

    def step(*arguments: Any) -> Any:
        if next(taken) == stop:
            raise Stopped
        return real(*arguments)

    folder.mkdir(exist_ok=True)
    with patch("mtlrepro.engine.train.take_step", step), contextlib.suppress(Stopped):
        return execute(spec, 0, folder, EVERY_STEP)
    return {}


def tiny(description: Path, **changed: Any) -> RunSpec:
    spec = spec_over(description, epochs=2, evaluate_every=1)
    return replace(spec, recipe=replace(spec.recipe, **changed))


@pytest.mark.parametrize("sync_bn", [True, False])
def test_a_shared_run_keeps_every_bit_when_stopped(
    sync_bn: bool, tiny_dataset: Path, tmp_path: Path, team: Team
) -> None:
    spec = tiny(tiny_dataset, ranks=RANKS, sync_bn=sync_bn)
    records = team.values(ran, spec, tmp_path / "whole")
    undisturbed = Outcome(records[0], tmp_path / "whole")
    assert records[1]["metrics"] == pytest.approx(records[0]["metrics"], nan_ok=True, rel=0, abs=0)
    for stop in (2, 2, 2, None):  # a step further each time
        records = team.values(ran, spec, tmp_path / "stopped", stop)
    assert Outcome(records[0], tmp_path / "stopped").differences(undisturbed) == []
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {
        *("checkpoint.safetensors", "env.json", "metrics.jsonl", "pictures")
    }


def test_a_shared_run_has_the_curve_and_figures_of_one_process(tiny_dataset: Path, tmp_path: Path, team: Team) -> None:
    """In float32, as runs are: the first loss to its rounding, later ones less, for Adam makes steps of rounding."""
    alone = complete(tiny(tiny_dataset), tmp_path / "alone")
    shared = team.values(ran, tiny(tiny_dataset, ranks=RANKS, sync_bn=True), tmp_path / "shared")[0]
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("alone", "shared")]
    lines = [[json.loads(line) for line in text.splitlines()] for text in texts]
    losses = [[line["loss"] for line in found if "loss" in line] for found in lines]
    assert len(losses[0]) == 4
    assert losses[1][0] == pytest.approx(losses[0][0], rel=2e-6)
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    for name in ("final.semseg.miou/dataset@1.miou", "final.depth.depth/pooled@1.rmse"):
        assert shared["metrics"][name] == pytest.approx(alone.metrics[name], rel=5e-2)


def judged(spec: RunSpec, file: Path) -> dict[str, float]:
    """The figures of a stored network, whose samples are dealt to the processes."""
    val = build_dataset(spec.data, "val")
    tasks = make_tasks(spec.tasks, val.info)
    model = build_model(spec.model, {name: task.channels for name, task in tasks.items()}, spec.data.size)
    checkpoint.load_model(file, model)
    places = share(len(val))
    samples = list(eval_samples(val, spec.data.size))
    mine = [samples[place] for place in places]
    return figures(whole(evaluate(model, tasks, mine, device=torch.device("cpu"), positions=places)))


def test_figures_are_those_of_one_process(tmp_path: Path, team: Team) -> None:
    """20 samples are three groups: one process has two, and the other one that is not full."""
    spec = tiny(write_tiny_dataset(tmp_path, train=4, val=20))
    complete(spec, tmp_path / "run")
    alone = judged(spec, tmp_path / "run" / FILE)
    for found in team.values(judged, spec, tmp_path / "run" / FILE):
        assert found.keys() == alone.keys()
        assert found == pytest.approx(alone, rel=1e-12, nan_ok=True)
        assert found["final.semseg.miou/dataset@1.miou"] == alone["final.semseg.miou/dataset@1.miou"]  # of integers


def test_as_many_processes_as_the_recipe_says(tiny_dataset: Path, tmp_path: Path, team: Team) -> None:
    with pytest.raises(SpecError) as alone:
        execute(tiny(tiny_dataset, ranks=2), 0, tmp_path, EVERY_STEP)
    assert str(alone.value) == (
        "recipe.ranks: 2 processes are to share every batch, and this training has 1. "
        "Start it with torchrun --nproc-per-node 2"
    )
    for error in team.call(ran, tiny(tiny_dataset), tmp_path):
        assert "1 processes are to share every batch, and this training has 2. Start it alone" in str(error)
    for error in team.call(ran, tiny(tiny_dataset, ranks=2, batch=3), tmp_path):
        assert "3 samples of a step cannot be dealt out to 2 processes equally" in str(error)


def different_starts(step: int) -> None:
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(0.0 if step else collective.rank())
        model.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters())
    ranks.check_alike(step * collective.rank(), optimizer, model)


@pytest.mark.parametrize(("step", "said"), [(3, "after 0, 3 steps"), (0, "after 0, 0 steps")])
def test_processes_that_begin_with_different_weights_are_told(step: int, said: str, team: Team) -> None:
    for error in team.call(different_starts, step):
        assert isinstance(error, StoreError)
        assert said in str(error)


def one_sided() -> None:
    loss = torch.ones((), requires_grad=True) * 2
    ranks.whole_batch(Losses(loss, {}, {"semseg" if collective.rank() else "depth": loss}))


def test_losses_of_different_tasks_are_told(team: Team) -> None:
    for error in team.call(one_sided):
        assert str(error).startswith("objective: the processes have losses of different tasks (process 0: depth; ")
