"""What a declared run does: what its spec says, and what the code takes where the spec says nothing."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mtlrepro.data import dataset_info, target
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.spec import Options, RunSpec
from mtlrepro.tasks import make_tasks

Facts = dict[str, Any]

AS_DECLARED = {"precision": "paper", "ranks": 1, "sync_bn": False}
"""How every declared run is executed: another way is a user's choice."""


def described(spec: RunSpec) -> Facts:
    """Everything that decides a run, defaults included."""
    model, data, objective = spec.model, spec.data, spec.objective
    tasks = make_tasks(spec.tasks, dataset_info(data.name, data.options), objective.losses)
    return {
        "data": {
            **fields(data),
            "options": reader(data.name, data.options),
            "val_options": reader(data.val_name, data.val_options),
            "extra": {**fields(data.extra), "options": reader(data.extra.name, data.extra.options)},
        },
        "tasks": model.main,
        "first predictions": model.aux,
        "weights": {task: dict(objective.weights).get(task, 1) for task in spec.tasks},
        "losses": {name: task.loss_name for name, task in tasks.items()},
        "network": (model.arch, model.backbone, model.weights),
        "options": effective(MODELS[model.arch], model.options),
        "recipe": {name: value for name, value in fields(spec.recipe).items() if name not in AS_DECLARED},
        "objective": objective.name,
        "settings": effective(OBJECTIVES[objective.name], objective.options),
        "start": spec.start,
        "needs": tuple(map(described, spec.needs)),
    }


def fields(value: Any) -> Facts:
    """A dataclass's fields."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def reader(name: str, chosen: Options) -> Facts:
    """Settings of a dataset's reader; of no dataset none."""
    module, _, attribute = target(name).partition(":") if name else ("", "", "")
    return effective(getattr(importlib.import_module(module), attribute), chosen) if name else dict(chosen)


def effective(what: Callable[..., Any], chosen: Options) -> Facts:
    """Keywords that something is called with, its own defaults included."""
    parameters = inspect.signature(what).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | dict(chosen)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) pairs, so that a failure names what differs."""
    nested = value.items() if isinstance(value, dict) else enumerate(value) if name.endswith("needs") else None
    if nested is None:
        yield name, value
        return
    for key, inner in nested:
        yield from flat(inner, f"{name}.{key}")


def check(specs: tuple[RunSpec, ...], expected: tuple[Facts, ...]) -> None:
    """No setting differs; a failure shows (found, expected) of those that do."""
    assert len(specs) == len(expected)
    for spec, facts in zip(specs, expected, strict=True):
        assert {name: getattr(spec.recipe, name) for name in AS_DECLARED} == AS_DECLARED
        found, wanted = dict(flat(described(spec))), dict(flat(facts))
        pairs = {name: (found.get(name, "nothing"), wanted.get(name, "nothing")) for name in {**found, **wanted}}
        assert {name: (is_, ought) for name, (is_, ought) in pairs.items() if is_ != ought} == {}
