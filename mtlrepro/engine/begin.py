"""What the weights of a run start from where that is the weights of other runs, the first ones that its spec needs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from mtlrepro.engine import checkpoint
from mtlrepro.errors import SpecError
from mtlrepro.models import MODELS
from mtlrepro.registry import option_names
from mtlrepro.spec import ModelSpec, RunSpec

FILE = "checkpoint.safetensors"


def begun_from(spec: RunSpec) -> int:
    """How many of the first of `needs` the weights start from; the objective is given the others.

    That is one, or one a main task for an architecture that is made of single-task networks (its class names theirs as
    `PARTS`).

    Raises:
        SpecError: if these are missing, or not what the weights can start from.
    """
    if not spec.start:
        return 0
    if not spec.needs:
        raise SpecError("a run that starts from no other one", field="start", mend="Name it first in `needs`")
    return len(_parts(spec)) or 1


def begin(spec: RunSpec, needs: Sequence[Path], model: nn.Module, objective: nn.Module) -> None:
    """Give a network and its objective the weights that they start from.

    A network made of single-task networks takes every tensor of the runs of its tasks, and the objective nothing. Any
    other one takes from one run what fits by name and shape, and so does its objective (`checkpoint.start`).

    Args:
        spec: it says `start`.
        needs: directories of the finished runs that the spec needs, in its order.
        model: what gets the weights; it is not to be used after an error.
        objective: the same.

    Raises:
        SpecError: as `begun_from`.
        StoreError: a checkpoint that is missing, unreadable or does not fit.
    """
    parts, network = _parts(spec), cast(Any, model)
    for task, number in parts.items():
        checkpoint.load_model(needs[number] / FILE, network.part(task))
    if not parts:
        checkpoint.start(needs[0] / FILE, model, objective, spec.tasks, spec.needs[0].tasks)


def _parts(spec: RunSpec) -> dict[str, int]:
    """Main task -> number of the needed run that its network starts from; empty for networks without parts."""
    arch = getattr(MODELS[spec.model.arch], "PARTS", None)
    if arch is None:
        return {}
    tasks = spec.model.main
    mend = f"Name first in `needs` one run of architecture {arch!r} of each of {', '.join(tasks)}"
    found: dict[str, int] = {}
    for number, need in enumerate(spec.needs[: len(tasks)]):
        field, (task, *more) = f"needs[{number}].model", need.model.main
        if more or task not in tasks:
            problem = f"a run of {' and '.join(need.model.main)} where one task of the network is wanted"
            raise SpecError(problem, field=f"{field}.main", mend=mend)
        if task in found:
            raise SpecError(f"a second run of {task}", field=f"{field}.main", mend=mend)
        _check_same(need.model, spec.model, arch, field)
        found[task] = number
    for task in tasks:
        if task not in found:
            raise SpecError(f"no run of {task} to start from", field="needs", mend=mend)
    return found


def _check_same(part: ModelSpec, whole: ModelSpec, arch: str, field: str) -> None:
    """Raise a `SpecError` unless a needed run's network is one that the whole network is made of."""
    for name, value, wanted in (("arch", part.arch, arch), ("backbone", part.backbone, whole.backbone)):
        if value != wanted:
            problem = f"is {value!r}, and the network that starts from it is made of {wanted!r}"
            raise SpecError(problem, field=f"{field}.{name}", mend=f"Use {wanted!r}")
    own, ours = _options(part), _options(whole)
    for name in option_names(MODELS[arch]):
        if own[name] != ours[name]:
            problem = f"{name} is {own[name]!r}, and {ours[name]!r} in the network that starts from it"
            raise SpecError(problem, field=f"{field}.options", mend="Use the same in both")


def _options(spec: ModelSpec) -> dict[str, Any]:
    """All options of a network, those that are not given at their defaults."""
    parameters = inspect.signature(MODELS[spec.arch]).parameters
    return {name: parameters[name].default for name in option_names(MODELS[spec.arch])} | dict(spec.options)
