"""Weighted sum over tasks of the mean loss over a task's predictions (DenseMTL, public reference implementation)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.sample import Batch
from mtlrepro.data.surface import batch_normals
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.supervised import Supervised, has_labels, labelled_rows
from mtlrepro.tasks.base import Task, full_precision

NORMALS, DEPTH = "normals", "depth"
"""The task whose labels may be made of depth, and the one whose labels these are."""


class MultiScale(Supervised):
    """Σ_t w_t · mean over the task's predictions, the final one and those of all stages, of its loss L_t.

    Equation 6 of the paper has Σ_t w_t (L_t(final) + mean over stages of L_t(stage)); what is built here is the public
    reference implementation, whose published log it agrees with. With one stage it is half of equation 6.

    Predictions are brought to the label's size by `aligned`. Labels of normals are made anew of the batch's depth where
    the dataset made them of depth by a rule (`DatasetInfo.surface`): so they are those of the reference in mirrored and
    cropped pictures, too (`mtlrepro.data.surface`). Samples whose depth training may not see keep the stored label,
    which transforms have mirrored.

    Samples whose `labelled` is False are left out before the loss sees prediction or target.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.

    Raises:
        SpecError: for a task whose loss is among `refused`.

    Class attributes:
        refused: losses that no paper trains by labels, which only say what a network's output is.
    """

    refused: ClassVar[frozenset[str]] = frozenset({"disparity"})

    def __init__(self, tasks: Mapping[str, Task], weights: Mapping[str, float], features: Sequence[int] = ()):
        super().__init__(tasks, weights, features)
        check_learnt(tasks, self.refused)

    @classmethod
    def beside(cls, tasks: Mapping[str, Task]) -> tuple[str, ...]:
        """Depth, where labels of normals are made of it and it is no task of the model."""
        made = NORMALS in tasks and tasks[NORMALS].info.surface
        return (DEPTH,) if made and DEPTH not in tasks else ()

    def losses(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of what a model predicted for the batch's first view.

        Terms are `"final/<task>"` and `"<stage>/<task>"`, unweighted.

        Raises:
            SpecError: if the model predicts a task without a target or one the objective was not built for, or
                predicts nothing; or see `targets`.
        """
        predicted: dict[str, dict[str, Tensor]] = {}
        for stage, predictions in {"final": outputs.final, **outputs.stages}.items():
            for task, prediction in predictions.items():
                if task not in self.tasks:
                    raise unknown("task", task, self.tasks, field=stage)
                predicted.setdefault(task, {})[stage] = prediction
        if not predicted:
            raise SpecError("the model predicts nothing", field="final")
        total, targets = batch.image.new_zeros(()), self.targets(batch) if NORMALS in predicted else batch.targets
        terms: dict[str, Tensor] = {}
        tasks: dict[str, Tensor] = {}
        for task, maps in predicted.items():
            found = self.task_losses(task, maps, targets, batch)
            share = self.weights[task] * torch.stack(list(found.values())).mean()
            total = total + share
            if share.requires_grad:
                tasks[task] = share
            terms |= {f"{stage}/{task}": loss.detach() for stage, loss in found.items()}
        return Losses(total, terms, tasks)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The batch's targets; normals made anew in samples with labelled depth, if the dataset's were made by a rule.

        Raises:
            SpecError: if normals are to be made of depth, and the batch has no depth, camera or placement.
        """
        info = self.tasks[NORMALS].info
        if not info.surface:
            return batch.targets
        for name, there in ((DEPTH, batch.targets), ("intrinsics", batch.geometry), ("placement", batch.geometry)):
            if name not in there:
                problem = f"labels of normals are made of depth by {info.surface!r}, and the batch lacks {name}"
                mend = f"Load {name}, too, or use a dataset whose normals are stored"
                raise SpecError(problem, field=f"batch.{name}", mend=mend)
        normals = batch_normals(batch.targets[DEPTH], batch.geometry, info.surface, info.full_size)
        seen = batch.labelled.get(DEPTH)
        if seen is not None and not bool(seen.all()):
            rows = seen.to(normals.device, non_blocking=True).view(-1, 1, 1, 1)
            normals = torch.where(rows, normals, batch.targets[NORMALS])
        return {**batch.targets, NORMALS: normals}

    def task_losses(
        self, task: str, predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """One task's loss for each of its predictions; without gradient where no sample is labelled.

        Args:
            task: its name.
            predictions: "final" or name of a stage -> (B, C, H, W) raw predictions.
            targets: what `targets` returned.
            batch: the batch.
        """
        rows = labelled_rows(task, batch)
        target = targets[task] if rows is None else targets[task][rows]
        found, known = {}, has_labels(task, batch)
        for stage, prediction in predictions.items():
            mine = aligned(prediction if rows is None else prediction[rows], target)
            loss = self.task_loss(task, mine, target, len(batch.image))
            # The loss of no sample is 0, but no step is to be made for it.
            found[stage] = loss if known else loss.detach()
        return found


def check_learnt(tasks: Mapping[str, Task], refused: Collection[str]) -> None:
    """Raise a `SpecError` if the loss of one of these tasks is among the `refused` ones."""
    for name, task in tasks.items():
        if task.loss_name in refused:
            problem = f"loss {task.loss_name!r} is not learnt from labels"
            mend = "Choose another one, or the objective 'self_supervised'"
            raise SpecError(problem, field=f"objective.losses.{name}", mend=mend)


def aligned(prediction: Tensor, target: Tensor) -> Tensor:
    """Raw predictions in float32 at least, bilinearly at the target's size with the corners' centres on each other.

    Predictions that share a height or a width with the target stay as they are, as in the public reference
    implementation; if the other side differs, they fit no target.
    """
    prediction = full_precision(prediction)
    if any(n == m for n, m in zip(prediction.shape[-2:], target.shape[-2:], strict=True)):
        return prediction
    return F.interpolate(prediction, size=target.shape[-2:], mode="bilinear", align_corners=True)
