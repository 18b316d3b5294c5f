"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data.sample import Batch
from mtlrepro.engine import ranks
from mtlrepro.engine.determinism import derive, seed_generators
from mtlrepro.engine.optim import Optimizer, set_learning_rates
from mtlrepro.engine.precision import PRECISIONS, Precision, precision_of
from mtlrepro.errors import TrainingError
from mtlrepro.models.base import pretrained_part
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Losses
from mtlrepro.spec import Recipe

LOG_LINES = 100
"""Training lines a run logs, about: every (steps // LOG_LINES)-th step, and the last."""


@dataclass
class Hooks:
    """What the loop tells its caller; none of it can change a result.

    Attributes:
        log: receives one JSON-able line at a time: {"step", "loss", "terms", "lr"}, and after every epoch
            {"step", "epoch", "weighting"} of a weighting that changes, with the number of epochs that are over.
        due: is the state after that many steps going to be stored or evaluated? Only a finite one ever is.
        after_step: called after each step with the number of steps done, whether storing is due, and the seconds
            spent in steps so far.
    """

    log: Callable[[dict[str, Any]], None]
    due: Callable[[int], bool]
    after_step: Callable[[int, bool, float], None]


def train(
    model: nn.Module,
    objective: Objective,
    optimizer: Optimizer,
    batches: Iterable[tuple[int, Batch]],
    *,
    recipe: Recipe,
    steps_per_epoch: int,
    seed: int,
    device: torch.device,
    hooks: Hooks,
) -> float:
    """Run every (step, batch) of `batches` and return the seconds spent in steps (data and hooks excluded).

    On a GPU, which works on while the loop waits for data, these seconds are no step time;
    `mtlrepro.profiling.speed` measures that.

    Args:
        model: in training mode afterwards.
        objective: runs the model and maps a batch to losses; its parameters train along.
        optimizer: over both.
        batches: (0-based global step, batch) pairs, from the resume point to the end.
        recipe: for the learning rate.
        steps_per_epoch: the learning rate changes every so many steps, unless the recipe counts in steps.
        seed: the run's seed; every step derives its own generator state from it.
        device: where model and objective live.
        hooks: see `Hooks`.

    Raises:
        TrainingError: when a loss, or a weight about to be stored, is not finite; nothing of it is stored.
    """
    set_training(model, recipe)
    objective.train()
    steps = training_steps(recipe, steps_per_epoch)
    every = max(1, steps // LOG_LINES)
    unchecked: list[tuple[int, Tensor, Losses]] = []
    seconds, precision = 0.0, precision_of(recipe.precision)
    for step, batch in batches:
        start = time.perf_counter()
        seed_generators(_step_seed(seed, step), device)
        lr = set_learning_rates(optimizer.param_groups, recipe, step if recipe.steps else step // steps_per_epoch)
        batch = batch.to(device)
        losses = take_step(model, objective, optimizer, batch, step / steps, recipe.clip, precision)
        done = step + 1
        if done % steps_per_epoch == 0:
            objective.weighting.end_epoch()
        losses = Losses(losses.total.detach(), losses.terms)
        unchecked.append((done, batch.index, losses))
        log_now = step % every == 0 or done == steps
        due = collective.somewhere(hooks.due(done))  # clocks differ, and all are to look at their state
        # Reading a loss waits for the device, so a GPU is asked only when the answer is needed.
        if device.type == "cpu" or log_now or due:
            _check_losses(unchecked)
            unchecked.clear()
        if due or done == steps:
            _check_state(model, objective, done)
        seconds += time.perf_counter() - start
        if log_now:
            hooks.log({"step": done, "loss": float(losses.total), "terms": _floats(losses.terms), "lr": lr})
        if done % steps_per_epoch == 0 and (weighting := objective.weighting.figures()):
            hooks.log({"step": done, "epoch": done // steps_per_epoch, "weighting": weighting})
        hooks.after_step(done, due, seconds)
    return seconds


def set_training(model: nn.Module, recipe: Recipe) -> None:
    """Training mode, but for a frozen backbone: its batch norms keep the averages that it came with."""
    model.train()
    if recipe.encoder_lr == 0:
        pretrained_part(model.get_submodule("backbone")).eval()


def training_steps(recipe: Recipe, steps_per_epoch: int) -> int:
    """Optimizer steps of a whole training."""
    return recipe.steps or recipe.epochs * steps_per_epoch


def take_step(
    model: nn.Module,
    objective: Objective,
    optimizer: Optimizer,
    batch: Batch,
    progress: float,
    clip: float = 0.0,
    precision: Precision = PRECISIONS["paper"],
) -> Losses:
    """One optimizer step; none where a batch holds nothing to learn from.

    Processes that share the batch take it together, and the losses are those of the whole batch.

    Args:
        model: in training mode, as the objective.
        objective: gives the losses, and its weighting what is minimised of them.
        optimizer: over both.
        batch: on their device.
        progress: share of the training that is done.
        clip: see `mtlrepro.spec.Recipe`.
        precision: what model and objective compute in; weighting and gradients are left as the losses are.
    """
    ranks.forget()
    with precision.casting(batch.image.device):
        found = objective(model, batch, progress)
    losses: Losses = ranks.whole_batch(found)
    if collective.somewhere(losses.total.requires_grad):
        losses = replace(losses, total=objective.weighting(losses, model))
        optimizer.zero_grad(set_to_none=True)
        ranks.backward(losses.total)
        ranks.average_gradients(optimizer)
        if clip:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
        optimizer.step()
    ranks.average_statistics((model, objective))
    return losses


def _step_seed(seed: int, step: int) -> int:
    """What a step's random numbers are drawn from: others in every process, for each has other samples."""
    rank = collective.rank()
    return derive(seed, "step", step, *([rank] if rank else []))


def _check_losses(steps: list[tuple[int, Tensor, Losses]]) -> None:
    """Raise at the first (step, samples, losses) whose total is not finite; one read of the device for all."""
    if len(steps) == 1:  # on a CPU, where the stack would cost more than the rest
        totals = [float(steps[0][2].total)]
    else:
        totals = torch.stack([losses.total for _, _, losses in steps]).tolist()
    for (done, index, losses), total in zip(steps, totals, strict=True):
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss is not finite at step {done}: {_floats(losses.terms)}",
                field="loss",
                mend="Lower the learning rate or look at the labels of these samples: "
                f"{_everywhere(index)}; the last checkpoint before it is kept",
            )


def _everywhere(index: Tensor) -> list[int]:
    """The samples of a step in all processes, which come here together: their losses are the same."""
    return [sample for samples in collective.gathered(index.tolist()) for sample in samples]


def _check_state(model: nn.Module, objective: nn.Module, done: int) -> None:
    """A finite loss can have a gradient that is not: then what is stored would be lost, and the figures void."""
    state = {**model.state_dict(prefix="model."), **objective.state_dict(prefix="objective.")}
    finite = torch.stack([torch.isfinite(value).all() for value in state.values()]).tolist()
    for name, good in zip(state, finite, strict=True):
        if not good:
            raise TrainingError(
                f"the weights are not finite after step {done}",
                field=name,
                mend="Lower the learning rate; the last checkpoint before it is kept",
            )


def _floats(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}
