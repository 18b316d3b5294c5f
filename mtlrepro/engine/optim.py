"""Optimizers and learning-rate schedules, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.base import pretrained_part
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group
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


def drop(epoch: int, epochs: int, at: float = 0.75) -> float:
    """A tenth from a share `at` of the training on: DenseMTL trains 40,000 steps and drops after 30,000 (sec. 4.1).

    Example:
        >>> [drop(step, 40_000) for step in (0, 29_999, 30_000, 39_999)]
        [1.0, 1.0, 0.1, 0.1]
    """
    return 1.0 if epoch < at * epochs else 0.1


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "poly": poly,
    "halve": halve,
    "drop": drop,
    "drop_early": partial(drop, at=8 / 15),
    "constant": lambda epoch, epochs: 1.0,
}


def _adam(beta2: float) -> Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]:
    return lambda params, r: torch.optim.Adam(
        params, lr=r.lr, betas=(0.9, beta2), weight_decay=r.weight_decay, fused=True
    )


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]] = {
    "adam": _adam(0.999),
    "adam_b98": _adam(0.98),
    "adam_b99": _adam(0.99),
    "adamw": lambda params, r: torch.optim.AdamW(params, lr=r.lr, weight_decay=r.weight_decay, fused=True),
    "sgd": lambda params, r: torch.optim.SGD(
        params, lr=r.lr, weight_decay=r.weight_decay, momentum=r.momentum, fused=True
    ),
}


class Optimizer(Protocol):
    """What the loop and its checkpoints ask of an optimizer."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters and learning rates."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> Any:
        """Change the parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """`{"state": number of the parameter -> its state, "param_groups": ...}`."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        ...


class Several:
    """Optimizers of different parameters as one; parameters are numbered through."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]):
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of all."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of all."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        """Of all, in order."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of all under numbers of their own."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        for optimizer, numbers in zip(self.optimizers, optimizers_of(self), strict=True):
            own = optimizer.state_dict()
            state |= {numbers[number]: value for number, value in own["state"].items()}
            groups += own["param_groups"]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for optimizer, numbers in zip(self.optimizers, optimizers_of(self), strict=True):
            own = {number - numbers.start: value for number, value in state["state"].items() if number in numbers}
            optimizer.load_state_dict({"state": own, "param_groups": optimizer.state_dict()["param_groups"]})


def optimizers_of(optimizer: Optimizer) -> list[range]:
    """The numbers of the parameters of each optimizer of `Several`; of any other, all of them."""
    ranges, first = [], 0
    for one in optimizer.optimizers if isinstance(optimizer, Several) else [optimizer]:
        count = sum(len(group["params"]) for group in one.param_groups)
        ranges.append(range(first, first + count))
        first += count
    return ranges


def build_optimizer(model: nn.Module, objective: Objective, recipe: Recipe) -> Optimizer:
    """The optimizer of the network and of what its objective owns.

    The first group follows the recipe: biases and normalisation weights decay too, as in the papers' recipes. The
    backbone, or the part of it that pinned weights are of, is a group of its own where the recipe gives it a rate of
    its own, and frozen where that is 0. One more
    for each of `Objective.groups` and `Weighting.groups`; those with an optimizer of their own have one. An
    architecture may have parameters with rates of their own, too (`rates`: lists of them, each with its multiple of the
    recipe's rate).

    Raises:
        SpecError: unknown optimizer, or a rate, length or norm that no training can have.
    """
    check_recipe(recipe)
    own_rates: list[tuple[list[nn.Parameter], float]] = getattr(model, "rates", list)()
    special = [*objective.groups(), *objective.weighting.groups(), *(Group(p, factor) for p, factor in own_rates)]
    apart = {id(p) for group in special for p in group.parameters}
    encoder: list[nn.Parameter] = []
    if recipe.encoder_lr is not None:
        part = pretrained_part(model.get_submodule("backbone"))
        encoder = [p for p in part.parameters() if id(p) not in apart]
    apart |= {id(p) for p in encoder}
    usual = [p for p in [*model.parameters(), *objective.parameters()] if id(p) not in apart]
    groups = [_group(usual, recipe)]
    if recipe.encoder_lr:
        groups.append({**_group(encoder, recipe), "lr_factor": recipe.encoder_lr / recipe.lr})
    elif encoder:
        part.requires_grad_(False)
    own = [g for g in special if g.optimizer is not None]
    groups += [_group(g.parameters, recipe, g) for g in special if g.optimizer is None]
    first = _optimizer(recipe.optimizer)(groups, recipe)
    plain = replace(recipe, weight_decay=0.0)
    others = [_optimizer(str(g.optimizer))([_group(g.parameters, recipe, g)], plain) for g in own]
    return Several([first, *others]) if others else first


def check_recipe(recipe: Recipe) -> None:
    """Raise a `SpecError` for numbers below 0, and for a rate of 0 that another one is a multiple of."""
    for name in ("lr", "encoder_lr", "weight_decay", "clip", "steps", "epochs"):
        value = getattr(recipe, name)
        if value is not None and not value >= 0:
            raise SpecError(f"{value!r}", field=f"recipe.{name}", mend="Give a number of at least 0")
    if recipe.encoder_lr and not recipe.lr:
        mend = "Give lr, too, or leave encoder_lr out"
        raise SpecError("only the encoder has a rate", field="recipe.encoder_lr", mend=mend)


def _group(parameters: Sequence[nn.Parameter], recipe: Recipe, group: Group | None = None) -> dict[str, Any]:
    group = group or Group(())
    schedule = SCHEDULES[group.schedule] if group.schedule else None
    if group.period is not None:
        schedule = partial(halve, period=group.period)
    if group.lr is not None and not recipe.lr:
        problem = "a rate of 0, which one that an objective or a weighting sets is no multiple of"
        raise SpecError(problem, field="recipe.lr", mend="Give a rate above 0")
    factor = group.lr_factor if group.lr is None else group.lr / recipe.lr
    return {"params": list(parameters), "lr_factor": factor, "schedule": schedule}


def _optimizer(name: str) -> Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]:
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS, field="recipe.optimizer")
    return OPTIMIZERS[name]


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate of a 0-based epoch, or of a step where the recipe counts in steps.

    Raises:
        SpecError: unknown schedule.
    """
    if recipe.schedule not in SCHEDULES:
        raise unknown("schedule", recipe.schedule, SCHEDULES, field="recipe.schedule")
    return recipe.lr * SCHEDULES[recipe.schedule](epoch, recipe.steps or recipe.epochs)


def set_learning_rates(groups: Sequence[dict[str, Any]], recipe: Recipe, epoch: int) -> float:
    """Give every group of an optimizer its rate for an epoch (or step) and return the recipe's own."""
    usual = learning_rate(recipe, epoch)
    for group in groups:
        schedule = group["schedule"]
        rate = usual if schedule is None else recipe.lr * schedule(epoch, recipe.steps or recipe.epochs)
        group["lr"] = group["lr_factor"] * rate
    return usual
