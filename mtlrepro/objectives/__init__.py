"""Training objectives, one file each; task weighting beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models import build_decoder
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.weighting import FIXED, build_weighting
from mtlrepro.objectives.weighting.fixed import fixed_weights
from mtlrepro.registry import Registry, option_names
from mtlrepro.tasks.base import Task

if TYPE_CHECKING:  # imports go down only, and specs live above
    from mtlrepro.spec import ObjectiveSpec, RunSpec

__all__ = ["OBJECTIVES", "Group", "Losses", "Objective", "attached_objective", "build_objective"]

OBJECTIVES = Registry(
    "objective",
    {
        "supervised": "mtlrepro.objectives.supervised:Supervised",
        "partial": "mtlrepro.objectives.supervised:PartialSupervised",
        "consistency": "mtlrepro.objectives.consistency:Consistency",
        "direct_map": "mtlrepro.objectives.task_maps:DirectMap",
        "perceptual_map": "mtlrepro.objectives.task_maps:PerceptualMap",
        "mtpsl": "mtlrepro.objectives.mtpsl:MTPSL",
        "jtr": "mtlrepro.objectives.jtr:JTR",
        "must": "mtlrepro.objectives.must:MuST",
        "multi_scale": "mtlrepro.objectives.multi_scale:MultiScale",
        "self_supervised": "mtlrepro.objectives.self_supervised:SelfSupervised",
        "adaptation": "mtlrepro.objectives.adaptation:Adaptation",
        "atrc": "mtlrepro.objectives.atrc:ATRC",
        "auxiliary_heads": "mtlrepro.objectives.auxiliary_heads:AuxiliaryHeads",
        "aware3d": "mtlrepro.objectives.aware3d:Aware3D",
        "coherence": "mtlrepro.objectives.coherence:Coherence",
    },
    group="objectives",
    base="mtlrepro.objectives.base:Objective",
)


def build_objective(spec: ObjectiveSpec, tasks: Mapping[str, Task], features: Sequence[int] = ()) -> Objective:
    """The objective that a spec describes.

    Args:
        spec: its name, fixed task weights, task losses and options.
        tasks: every task, main and auxiliary, of the model, made with the spec's task losses
            (`mtlrepro.tasks.make_tasks`).
        features: widths of the model's encoder maps, finest first.

    Raises:
        SpecError: on an unknown objective, option or task name, tasks made with other losses, or a weight that is not a
            finite number >= 0.
    """
    cls = OBJECTIVES[spec.name]
    options = dict(spec.options)
    known = option_names(cls)
    for name in options:
        if name not in known:
            raise unknown(f"option of objective {spec.name!r}:", name, known, field="objective.options")
    for task, loss in spec.losses:
        if task not in tasks:
            raise unknown("task", task, tasks, field="objective.losses")
        if tasks[task].loss_name != loss:
            problem, mend = f"the task was made with {tasks[task].loss_name!r}, not {loss!r}", "Pass it to make_tasks"
            raise SpecError(problem, field=f"objective.losses.{task}", mend=mend)
    return cls(tasks, fixed_weights(spec.weights, tasks), features, **options)


def attached_objective(spec: RunSpec, tasks: Mapping[str, Task], model: Any) -> Objective:
    """The objective of a run, with its weighting and what it takes of the run's network (`Objective.attach`).

    Args:
        spec: its objective and its model; the weighting is one of the main tasks.
        tasks: see `build_objective`.
        model: the network of the spec.

    Raises:
        SpecError: as `build_objective` and `mtlrepro.objectives.weighting.build_weighting`.
    """
    objective = build_objective(spec.objective, tasks, model.backbone.channels)
    weighting, weights = spec.objective.weighting, objective.weights
    for name in spec.model.main:
        if weighting.name != FIXED and not weights[name]:
            mend = f"Leave the task out, give it a weight above 0, or use weighting {FIXED!r}"
            raise SpecError("a loss without weight cannot be weighed", field=f"objective.weights.{name}", mend=mend)
    objective.weighting = build_weighting(weighting, {name: tasks[name] for name in spec.model.main})
    channels = {name: task.channels for name, task in tasks.items()}
    objective.attach(partial(build_decoder, spec.model, channels, model.backbone))
    return objective
