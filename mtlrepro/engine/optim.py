"""Optimizers and learning-rate schedules, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from mtlrepro.errors import unknown
from mtlrepro.spec import Recipe


def poly(progress: float) -> float:
    """Poly decay (1 - e/E)^0.9, the schedule of MTI-Net's supplement A.2; `progress` is e/E in [0, 1).

    Example:
        >>> round(poly(0.5), 8)
        0.53588673
    """
    return (1.0 - progress) ** 0.9


SCHEDULES: dict[str, Callable[[float], float]] = {"poly": poly}

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], Recipe], torch.optim.Optimizer]] = {
    "adam": lambda params, r: torch.optim.Adam(params, lr=r.lr, weight_decay=r.weight_decay, fused=True),
    "sgd": lambda params, r: torch.optim.SGD(
        params, lr=r.lr, weight_decay=r.weight_decay, momentum=r.momentum, fused=True
    ),
}


def build_optimizer(params: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """One parameter group: biases and normalisation weights decay too, as in the paper's recipe.

    Raises:
        SpecError: unknown optimizer.
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise unknown("optimizer", recipe.optimizer, OPTIMIZERS, field="recipe.optimizer")
    return OPTIMIZERS[recipe.optimizer](params, recipe)


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate of a 0-based epoch: it changes once an epoch.

    Raises:
        SpecError: unknown schedule.
    """
    if recipe.schedule not in SCHEDULES:
        raise unknown("schedule", recipe.schedule, SCHEDULES, field="recipe.schedule")
    return recipe.lr * SCHEDULES[recipe.schedule](epoch / recipe.epochs)
