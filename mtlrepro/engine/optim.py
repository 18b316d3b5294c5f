"""Optimizers and learning-rate schedules, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mtlrepro.errors import unknown
from mtlrepro.objectives.base import Objective
from mtlrepro.spec import Recipe


def poly(epoch: int, epochs: int) -> float:
    """Poly decay (1 - e/E)^0.9, the schedule of MTI-Net's supplement A.2.

    Example:
        >>> round(poly(40, 80), 8)
        0.53588673
    """
    return (1.0 - epoch / epochs) ** 0.9


def halve(epoch: int, epochs: int, period: float = 0.5) -> float:
    """Halved after every `period` of the training, a share of it: JTR's and MTPSL's public code halves at half time.

    Example:
        >>> [halve(e, 400) for e in (0, 199, 200, 399)], [halve(e, 400, 0.15) for e in (59, 60, 120)]
        ([1.0, 1.0, 0.5, 0.5], [1.0, 0.5, 0.25])
    """
    return 0.5 ** (epoch // max(1, round(period * epochs)))


SCHEDULES: dict[str, Callable[[int, int], float]] = {"poly": poly, "halve": halve}

OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]] = {
    "adam": lambda params, r: torch.optim.Adam(params, lr=r.lr, weight_decay=r.weight_decay, fused=True),
    "sgd": lambda params, r: torch.optim.SGD(
        params, lr=r.lr, weight_decay=r.weight_decay, momentum=r.momentum, fused=True
    ),
}


def build_optimizer(model: nn.Module, objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """One optimizer over the network and what its objective owns.

    The first group follows the recipe: biases and normalisation weights decay too, as in the papers' recipes. One
    more for each of `Objective.groups`, with its `lr_factor` and `period`.

    Raises:
        SpecError: unknown optimizer.
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise unknown("optimizer", recipe.optimizer, OPTIMIZERS, field="recipe.optimizer")
    special = objective.groups()
    apart = {id(p) for group in special for p in group.parameters}
    usual = [p for p in [*model.parameters(), *objective.parameters()] if id(p) not in apart]
    groups: list[dict[str, Any]] = [{"params": usual, "lr_factor": 1.0, "period": None}]
    groups += [{"params": list(g.parameters), "lr_factor": g.lr_factor, "period": g.period} for g in special]
    return OPTIMIZERS[recipe.optimizer](groups, recipe)


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate of a 0-based epoch: it changes once an epoch.

    Raises:
        SpecError: unknown schedule.
    """
    if recipe.schedule not in SCHEDULES:
        raise unknown("schedule", recipe.schedule, SCHEDULES, field="recipe.schedule")
    return recipe.lr * SCHEDULES[recipe.schedule](epoch, recipe.epochs)


def set_learning_rates(groups: Sequence[dict[str, Any]], recipe: Recipe, epoch: int) -> float:
    """Give every group of an optimizer its rate for an epoch and return the recipe's own."""
    usual = learning_rate(recipe, epoch)
    for group in groups:
        period = group["period"]
        rate = usual if period is None else recipe.lr * halve(epoch, recipe.epochs, period)
        group["lr"] = group["lr_factor"] * rate
    return usual
