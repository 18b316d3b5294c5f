from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.engine.optim import build_optimizer, learning_rate
from mtlrepro.engine.train import LOG_LINES, Hooks, _check_losses, take_step, train
from mtlrepro.errors import TrainingError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.spec import Recipe

CPU = torch.device("cpu")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> Outputs:
        if self.training:
            self.seen += 1
        return Outputs({"depth": image.mean((0, 2, 3)) * self.weight})


class Scripted(Objective):
    """Sum of squares, times what the script says for a step; a script's 0 means that there is nothing to learn."""

    def __init__(self, script: dict[int, float] | None = None):
        super().__init__({}, {})
        self.script, self.steps, self.progress, self.draws = script or {}, [], [], []

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        step = int(batch.index[0]) // 2
        self.steps.append(step)
        self.progress.append(progress)
        self.draws.append(float(torch.rand(())))
        factor = self.script.get(step, 1.0)
        total = model(batch.image).final["depth"].square().sum() * factor if factor else torch.zeros(())
        return Losses(total, {"final/depth": total.detach()})


class Run:
    """A training of `epochs` x `per_epoch` steps that records what the hooks hear."""

    def __init__(
        self,
        epochs: int = 2,
        per_epoch: int = 3,
        objective: Objective | None = None,
        due: bool = False,
        optimizer: str = "sgd",
        schedule: str = "poly",
    ):
        self.recipe = Recipe(optimizer, 0.01, 0.0, batch=2, epochs=epochs, schedule=schedule)
        self.per_epoch, self.steps = per_epoch, epochs * per_epoch
        self.model, self.objective = Net(), objective or Scripted()
        self.optimizer = build_optimizer(self.model, self.objective, self.recipe)
        self.lines: list[dict[str, Any]] = []
        self.done: list[int] = []
        self.rates: list[float] = []
        self.last_rates: list[float] = []
        self.seconds: list[float] = []
        self.due = due

    def batches(self, start: int) -> Iterator[tuple[int, Batch]]:
        for step in range(start, self.steps):
            generator = torch.Generator().manual_seed(step)
            image = torch.rand(2, 3, 4, 4, generator=generator)
            yield step, Batch(image, {}, {}, torch.tensor([2 * step, 2 * step + 1]))

    def after_step(self, done: int, due: bool, seconds: float) -> None:
        assert due == self.due
        self.done.append(done)
        self.seconds.append(seconds)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.last_rates.append(self.optimizer.param_groups[-1]["lr"])
        torch.rand(7)  # a hook that draws numbers changes nothing

    def __call__(self, start: int = 0, seed: int = 0) -> float:
        return train(
            self.model,
            self.objective,
            self.optimizer,
            self.batches(start),
            recipe=self.recipe,
            steps_per_epoch=self.per_epoch,
            seed=seed,
            device=CPU,
            hooks=Hooks(self.lines.append, lambda done: self.due, self.after_step),
        )


def test_every_step_is_made_once_and_told() -> None:
    run = Run()
    run.model.eval()
    seconds = run()
    assert run.objective.steps == [0, 1, 2, 3, 4, 5]
    assert run.objective.progress == [step / 6 for step in range(6)]
    assert run.done == [1, 2, 3, 4, 5, 6]
    assert int(run.model.seen) == 6  # in training mode
    assert run.seconds == sorted(run.seconds)
    assert run.seconds[-1] == seconds > 0


def test_the_learning_rate_changes_once_an_epoch() -> None:
    run = Run(epochs=4, per_epoch=2)
    run()
    assert run.rates == [learning_rate(run.recipe, epoch) for epoch in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert len(set(run.rates)) == 4
    assert [line["lr"] for line in run.lines] == run.rates


class Film(Scripted):
    """Owns a parameter with a rate of its own, which adds to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.column = nn.Parameter(torch.ones(()))
        self.columns: list[float] = []

    def groups(self) -> list[Group]:
        return [Group([self.column], 10.0, 0.25)]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        self.columns.append(float(self.column.detach()))
        losses = super().forward(model, batch, progress)
        return Losses(losses.total + self.column, losses.terms)


def test_every_group_learns_at_its_own_rate_from_the_first_step_on() -> None:
    run = Run(epochs=8, per_epoch=2, objective=Film(), schedule="halve")
    run()
    assert run.rates == [0.01] * 8 + [0.005] * 8
    assert run.last_rates == pytest.approx([0.1 * 0.5 ** (step // 2 // 2) for step in range(16)], rel=1e-12)
    assert [line["lr"] for line in run.lines] == run.rates
    column, velocity = 1.0, 0.0
    for seen, rate in zip(run.objective.columns, run.last_rates, strict=True):
        assert seen == pytest.approx(column, rel=1e-5)
        velocity = 0.9 * velocity + 1.0  # the gradient of the column is 1
        column -= rate * velocity


def test_a_resumed_run_has_the_rates_of_its_epoch() -> None:
    whole, tail = Run(epochs=8, per_epoch=2, objective=Film()), Run(epochs=8, per_epoch=2, objective=Film())
    whole()
    tail(start=9)
    assert tail.rates == whole.rates[9:]
    assert tail.last_rates == whole.last_rates[9:]
    assert tail.objective.progress == whole.objective.progress[9:]


def bits(run: Run) -> dict[str, Tensor]:
    state = {f"model.{k}": v.clone() for k, v in run.model.state_dict().items() if k != "seen"}
    for index, entry in run.optimizer.state_dict()["state"].items():
        state |= {f"{index}.{k}": v.clone() for k, v in entry.items() if isinstance(v, Tensor)}
    return state


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_no_step_is_made_where_there_is_nothing_to_learn(optimizer: str) -> None:
    """Not even by momentum, by Adam's moments or its count of steps."""
    run = Run(objective=Scripted({2: 0.0}), optimizer=optimizer)
    batches = [batch for _, batch in run.batches(0)]
    run.model.train()
    for batch in batches[:2]:
        take_step(run.model, run.objective, run.optimizer, batch, 0.0)
    before = bits(run)
    assert len(before) > 1  # there is momentum
    losses = take_step(run.model, run.objective, run.optimizer, batches[2], 0.0)
    assert float(losses.total) == 0.0
    assert before.keys() == bits(run).keys()
    assert all(torch.equal(value, before[name]) for name, value in bits(run).items())
    take_step(run.model, run.objective, run.optimizer, batches[3], 0.0)
    assert not torch.equal(bits(run)["model.weight"], before["model.weight"])


def test_a_long_gradient_is_scaled_to_the_norm_that_the_recipe_allows() -> None:
    """All parameters together; a shorter one stays."""
    steps = {}
    for clip in (0.0, 1e9, 1e-3):
        run = Run(optimizer="sgd")
        run.model.train()
        before = bits(run)
        take_step(run.model, run.objective, run.optimizer, next(b for _, b in run.batches(0)), 0.0, clip)
        after = bits(run)
        steps[clip] = {k: after[k] - before[k] for k in before if k.startswith("model.")}
        norms = [p.grad.norm() for group in run.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if clip == 1e-3:
            assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-3)
    assert all(torch.equal(steps[0.0][k], steps[1e9][k]) for k in steps[0.0])
    assert float(steps[1e-3]["model.weight"].norm()) < 0.1 * float(steps[0.0]["model.weight"].norm())


def test_a_training_goes_on_after_a_batch_without_anything_to_learn() -> None:
    run, short = Run(objective=Scripted({2: 0.0})), Run()
    run()
    assert run.done == [1, 2, 3, 4, 5, 6]
    assert run.lines[2]["loss"] == 0.0
    rows = [pair for pair in short.batches(0) if pair[0] != 2]
    short.batches = lambda start: iter(rows)  # type: ignore[method-assign]
    short()
    assert torch.equal(run.model.weight, short.model.weight)


def test_lines_hold_the_losses_of_their_step() -> None:
    run = Run()
    run()
    assert [line["step"] for line in run.lines] == run.done
    first = next(run.batches(0))[1].image.mean((0, 2, 3)).square().sum()
    assert run.lines[0]["loss"] == run.lines[0]["terms"]["final/depth"] == float(first)


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250, 1000])
def test_about_a_hundred_lines_and_always_the_last(steps: int) -> None:
    run = Run(epochs=1, per_epoch=steps)
    run()
    logged = [line["step"] for line in run.lines]
    assert logged[0] == 1
    assert logged[-1] == steps
    assert len(logged) <= 2 * LOG_LINES
    assert len(logged) >= min(steps, LOG_LINES)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_loss_stops_the_run_before_anything_is_stored(value: float) -> None:
    run = Run(objective=Scripted({3: value}), due=True)
    with pytest.raises(TrainingError, match=r"not finite at step 4.*'final/depth': (nan|inf).*\[6, 7\]") as caught:
        run()
    assert caught.value.field == "loss"
    assert run.done == [1, 2, 3]
    assert [line["step"] for line in run.lines] == [1, 2, 3]


def test_losses_checked_late_name_the_step_that_went_wrong() -> None:
    """On a GPU several steps are checked together; later losses are bad only because of the first."""
    entries = [
        (done, torch.tensor([done]), Losses(torch.tensor(value), {"t": torch.tensor(value)}))
        for done, value in ((11, 1.0), (12, math.nan), (13, math.nan))
    ]
    with pytest.raises(TrainingError, match=r"step 12.*\[12\]"):
        _check_losses(entries)
    _check_losses(entries[:1])


class InfiniteGradient(Scripted):
    """A finite loss whose gradient is not, at one step."""

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        losses = super().forward(model, batch, progress)
        if self.steps[-1] in self.script:
            weight = model.weight
            losses.total = losses.total.detach() + (weight - weight.detach()).abs().sqrt().sum()
        return losses


@pytest.mark.parametrize(("bad_step", "due"), [(5, False), (2, True)])
def test_broken_weights_are_never_stored_nor_evaluated(bad_step: int, due: bool) -> None:
    run = Run(objective=InfiniteGradient({bad_step: 1.0}), due=due)
    with pytest.raises(TrainingError, match=f"weights are not finite after step {bad_step + 1}") as caught:
        run()
    assert caught.value.field == "model.weight"
    assert run.done == list(range(1, bad_step + 1))


def test_draws_of_a_step_depend_on_seed_and_step_alone() -> None:
    whole, tail, other = Run(), Run(), Run()
    whole()
    torch.rand(3)
    tail(start=4)
    other(seed=1)
    assert whole.objective.draws[4:] == tail.objective.draws
    assert len(set(whole.objective.draws)) == 6
    assert not set(whole.objective.draws) & set(other.objective.draws)


class Hook:
    """A gradient hook: it lives as long as the graph it hangs on."""

    def __call__(self, gradient: Tensor) -> None:
        return None


class Watching(Scripted):
    """Looks whether the graph of the step before is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.graphs: list[weakref.ref[Hook]] = []

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        assert not self.graphs or self.graphs[-1]() is None
        losses = super().forward(model, batch, progress)
        hook = Hook()
        losses.total.register_hook(hook)
        self.graphs.append(weakref.ref(hook))
        assert self.graphs[-1]() is not None
        return losses


def test_no_graph_is_kept_between_steps() -> None:
    objective = Watching()
    Run(objective=objective)()
    assert len(objective.graphs) == 6
