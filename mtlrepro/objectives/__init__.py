"""Training objectives, one file each; task weighting beside them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mtlrepro.errors import unknown
from mtlrepro.objectives.base import Losses, Objective
from mtlrepro.objectives.weighting import fixed_weights
from mtlrepro.registry import Registry
from mtlrepro.tasks.base import Task

if TYPE_CHECKING:  # imports go down only, and specs live above
    from mtlrepro.spec import ObjectiveSpec

__all__ = ["OBJECTIVES", "Losses", "Objective", "build_objective"]

OBJECTIVES = Registry("objective", {"supervised": "mtlrepro.objectives.supervised:Supervised"})


def build_objective(spec: ObjectiveSpec, tasks: Mapping[str, Task]) -> Objective:
    """The objective that a spec describes.

    Args:
        spec: its name, fixed task weights and options.
        tasks: every task, main and auxiliary, of the model.

    Raises:
        SpecError: on an unknown objective, option or task name, or a weight that is not a finite number >= 0.
    """
    cls = OBJECTIVES[spec.name]
    options = dict(spec.options)
    known = list(inspect.signature(cls).parameters)[2:]  # after tasks and weights
    for name in options:
        if name not in known:
            raise unknown(f"option of objective {spec.name!r}:", name, known, field="objective.options")
    return cls(tasks, fixed_weights(spec.weights, tasks), **options)
