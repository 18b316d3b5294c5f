"""Consistency regularization: predictions of unlabelled tasks agree between two augmented views (JTR, eq. 2).

The paper gives "e.g. L2" and no code. The other published form, pseudo-labels above a confidence threshold, stands in
the public implementation of MTPSL and is the option `loss="threshold"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, moved
from mtlrepro.data.transforms.crop import Window, follow
from mtlrepro.errors import unknown
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import PartialSupervised, unlabelled
from mtlrepro.tasks.base import Task, full_precision
from mtlrepro.tasks.normals import unit_vectors


def squared(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of maps (B, C, H, W): (B,)."""
    return (student - teacher).square().mean((1, 2, 3))


def pseudo_label(student: Tensor, teacher: Tensor, threshold: float = 0.95) -> Tensor:
    """Cross-entropy with the teacher's classes where it is sure of them, over the number of all pixels: (B,).

    Args:
        student: (B, C, H, W) logits.
        teacher: (B, C, H, W) probabilities.
        threshold: probability above which a class becomes a label.
    """
    sure, labels = teacher.max(1)
    values = F.cross_entropy(student, labels, reduction="none")
    return torch.where(sure > threshold, values, 0.0).mean((1, 2))


def near(student: Tensor, teacher: Tensor, threshold: float = 0.1) -> Tensor:
    """|student - teacher| where that is below a threshold, over the number of all elements: (B,)."""
    values = (student - teacher).abs()
    return torch.where(values < threshold, values, 0.0).mean((1, 2, 3))


def aligned(student: Tensor, teacher: Tensor, threshold: float = 0.1) -> Tensor:
    """1 - student·teacher of each component of unit vectors, where below a threshold, over all components: (B,)."""
    values = 1 - student * teacher
    return torch.where(values < threshold, values, 0.0).mean((1, 2, 3))


Reading = Callable[[Task, Tensor], Tensor]
"""Raw predictions (B, C, H, W) of a task to what is compared, of the same shape."""


def logits(task: Task, raw: Tensor) -> Tensor:
    """Raw predictions as they are, in float32 at least."""
    return full_precision(raw)


def probabilities(task: Task, raw: Tensor) -> Tensor:
    """Softmax over the classes."""
    return full_precision(raw).softmax(1)


def decoded(task: Task, raw: Tensor) -> Tensor:
    """Physical units: depth, unit normals, probabilities of saliency and edges, standardised maps."""
    return task.decode(raw)


@dataclass(frozen=True)
class Rule:
    """How one task's predictions are compared.

    Attributes:
        distance: (student, teacher) -> (B,); gradient flows to the student.
        student: how the student's raw predictions are read.
        teacher: how the teacher's raw predictions are read, before they are carried to the student's view.
        restore: what mends the teacher's map after interpolation.
    """

    distance: Callable[[Tensor, Tensor], Tensor]
    student: Reading = decoded
    teacher: Reading = decoded
    restore: Callable[[Tensor], Tensor] = lambda maps: maps


MAPS = ("depth", "occlusion", "reshading", "keypoints", "texture")
"""Tasks whose decoded predictions are real numbers without bound."""

RULES: dict[str, dict[str, Rule]] = {
    "squared": {
        **dict.fromkeys(("semseg", "parts"), Rule(squared, probabilities, probabilities)),
        "normals": Rule(squared, restore=unit_vectors),
        **dict.fromkeys(("saliency", "edges"), Rule(squared)),
        **dict.fromkeys(MAPS, Rule(squared)),
    },
    "threshold": {
        **dict.fromkeys(("semseg", "parts"), Rule(pseudo_label, logits, probabilities)),
        "normals": Rule(aligned, restore=unit_vectors),
        **dict.fromkeys(MAPS, Rule(near)),
    },
}
"""The comparisons by name, for every task that they are defined for."""


class Consistency(PartialSupervised):
    """L_SL + weight · (1/B) Σ_x (1/|U_x|) Σ_{t unlabelled in x} w_t² d_t(student, teacher) (JTR, eq. 2).

    Both views pass through the model together. L_SL is taken on the first one, as in the other objectives. Its
    predictions, without gradient, are the teacher's; carried to the second view they are what the student's
    predictions there are compared with. A sample without any label is compared in all tasks. A task's weight stands for
    its unit, and the distances are squares.

    The published memory figures equal those of supervised training; then the first view's graph cannot have been
    stored, and the supervised loss must have been taken elsewhere. Nothing says where, and it is not followed here.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        weight: of the consistency term.
        loss: `"squared"`, the mean squared difference of class probabilities, unit normals and other decoded maps; or
            `"threshold"`, cross-entropy with pseudo-labels of probability above 0.95 and differences below 0.1.

    Raises:
        SpecError: for an unknown loss, a task that it is not defined for, or a negative weight.
    """

    views = 2

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        weight: float = 1.0,
        loss: str = "squared",
    ):
        super().__init__(tasks, weights, features)
        if loss not in RULES:
            raise unknown("loss", loss, RULES, field="objective.options.loss")
        for task in tasks:
            if task not in RULES[loss]:
                raise unknown(f"task of consistency loss {loss!r}:", task, RULES[loss], field="tasks")
        check_numbers(weight=weight)
        self.weight, self.rules = weight, RULES[loss]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of the supervised loss and `"consistency/<task>"`, which sum up to the mean over samples."""
        (view,) = batch.others
        first, outputs = model(torch.cat((batch.image, view.image))).split(2)
        teacher = {task: maps.detach() for task, maps in first.final.items()}
        losses = self.losses(first, batch)
        missing = {task: unlabelled(task, batch) for task in outputs.final}
        share = 1 / torch.stack(list(missing.values())).sum(0).clamp(min=1).double()
        for task, mask in missing.items():
            if mask.any():
                rows = mask.nonzero().flatten()
                windows, chosen = [view.windows[row] for row in rows.tolist()], moved(rows, view.image.device)
                values = self.compare(task, outputs.final[task][chosen], teacher[task][chosen], windows)
                shares = moved(share[rows].to(values.dtype), values.device)
                term = self.weights[task] ** 2 * (values * shares).sum() / len(mask)
                losses = losses.plus(self.weight * term, {f"consistency/{task}": term.detach()})
        return losses

    def compare(self, task: str, student: Tensor, teacher: Tensor, windows: Sequence[Window]) -> Tensor:
        """(B,) distances of one task's raw predictions (B, C, H, W) on the second view from those on the first."""
        rule, subject = self.rules[task], self.tasks[task]
        carried = rule.restore(carry(subject, rule.teacher(subject, teacher), windows))
        return rule.distance(rule.student(subject, student), carried)


def carry(task: Task, maps: Tensor, windows: Sequence[Window]) -> Tensor:
    """One task's maps (B, C, H, W) of one view as another view shows them, values changed as a label's are."""
    seen = [
        task.zoom_values(task.flip(m) if window.flip else m, window.scale)
        for m, window in zip(maps, windows, strict=True)
    ]
    return follow(torch.stack(seen), [window._replace(flip=False) for window in windows])
