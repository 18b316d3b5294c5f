"""MuST: labels that are missing come from single-task teachers (Ghiasi et al., ICCV 2021; JTR, supp. sec. on MuST)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data.sample import Batch, moved
from mtlrepro.errors import SpecError
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import PartialSupervised, unlabelled, upsample
from mtlrepro.tasks.base import Task

PROBE = 64
"""Side in pixels of the blank image that tells which tasks a teacher predicts."""

PSEUDO: dict[str, Callable[[Tensor], Tensor]] = dict.fromkeys(
    ("saliency", "edges"), lambda decoded: (decoded > 0.5).to(decoded.dtype)
)
"""How decoded predictions become a label, for tasks whose labels are not of the decoded form."""


class MuST(PartialSupervised):
    """L_SL + weight · (1/B) Σ_x Σ_{t unlabelled in x} w_t L_t(x), against what a teacher of task t predicts.

    Teachers are finished single-task networks. They see the very view that the student learns from, in evaluation
    mode and without gradient. Their decoded predictions are taken as labels of all pixels: hard classes, depth (pixels
    that they put at or below 0 stay without label), unit normals, hard saliency and edges, standardised maps.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        weight: of the losses against pseudo-labels.

    Raises:
        SpecError: for a negative weight.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        weight: float = 1.0,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(weight=weight)
        self.weight = weight
        self.teachers: dict[str, nn.Module] = {}  # a plain dictionary: they are neither trained nor checkpointed

    def adopt(self, teachers: Sequence[nn.Module]) -> None:
        """Take trained networks as teachers, each of the tasks that it predicts.

        They are put into evaluation mode, and stay on the device that they are on.

        Raises:
            SpecError: if two of them predict one task.
        """
        adopted: dict[str, nn.Module] = {}
        for teacher in teachers:
            parameter = next(teacher.parameters())
            with torch.no_grad():
                predicted = teacher.eval()(parameter.new_zeros(1, 3, PROBE, PROBE)).final
            for task in predicted:
                if task in adopted:
                    raise SpecError(
                        "two teachers predict one task", field=task, mend="Give the spec's `needs` one each"
                    )
                adopted[task] = teacher
        self.teachers = adopted

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of the supervised loss and `"pseudo/<task>"`, unweighted.

        Raises:
            SpecError: if a sample lacks a label of a task that no teacher predicts.
        """
        outputs = model(batch.image)
        losses = self.losses(outputs, batch)
        for task, prediction in outputs.final.items():
            mask = unlabelled(task, batch)
            if collective.somewhere(bool(mask.any())):
                rows = moved(mask.nonzero().flatten(), batch.image.device)
                labels = self.pseudo_labels(task, batch.image[rows]) if len(rows) else batch.targets[task][rows]
                loss = self.task_loss(task, upsample(prediction[rows], labels), labels, len(mask))
                losses = losses.plus(self.weight * self.weights[task] * loss, {f"pseudo/{task}": loss.detach()})
        return losses

    def pseudo_labels(self, task: str, image: Tensor) -> Tensor:
        """What the task's teacher predicts for images (B, 3, H, W), in the form of a batch target."""
        if task not in self.teachers:
            mend = "Give the spec a finished single-task run of it in `needs`"
            raise SpecError("no teacher predicts this task, and samples lack its labels", field=task, mend=mend)
        with torch.no_grad():
            decoded = self.tasks[task].decode(self.teachers[task](image).final[task])
        return PSEUDO.get(task, lambda labels: labels)(decoded)
