"""Loss weightings, one file each: how the losses of several tasks become what is minimised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mtlrepro.errors import unknown
from mtlrepro.registry import Registry, option_names

if TYPE_CHECKING:  # imports go down only, and specs live above
    from mtlrepro.objectives.weighting.base import Weighting
    from mtlrepro.spec import WeightingSpec
    from mtlrepro.tasks.base import Task

FIXED = "fixed"
"""The weighting that leaves losses as the objective has them."""

WEIGHTINGS = Registry(
    "weighting",
    {
        FIXED: "mtlrepro.objectives.weighting.fixed:Fixed",
        "equal": "mtlrepro.objectives.weighting.equal:Equal",
        "log": "mtlrepro.objectives.weighting.log_losses:LogLosses",
        "lps": "mtlrepro.objectives.weighting.lps:LPS",
        "dwa": "mtlrepro.objectives.weighting.dwa:DWA",
        "uncertainty": "mtlrepro.objectives.weighting.uncertainty:Uncertainty",
        "gradnorm": "mtlrepro.objectives.weighting.gradnorm:GradNorm",
    },
    group="weightings",
    base="mtlrepro.objectives.weighting.base:Weighting",
)


def build_weighting(spec: WeightingSpec, tasks: Mapping[str, Task]) -> Weighting:
    """The weighting that a spec describes.

    Args:
        spec: its name and options.
        tasks: the tasks whose final predictions are trained.

    Raises:
        SpecError: on an unknown weighting or option, or an option's value out of range.
    """
    cls = WEIGHTINGS[spec.name]
    known = option_names(cls)
    for name, _ in spec.options:
        if name not in known:
            raise unknown(f"option of weighting {spec.name!r}:", name, known, field="objective.weighting.options")
    return cls(tasks, **dict(spec.options))
