"""What JTR stacks (CVPR 2024, eq. 4): the predictions and labels of all tasks, squashed, along the channels.

The squashing functions and masks are those of the public reference implementation, which the paper does not state. The
standardised maps, parts, saliency and edges, of which nothing is released, follow the same pattern.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from mtlrepro.errors import unknown
from mtlrepro.metrics.segmentation import IGNORE
from mtlrepro.objectives.latent import hard_gumbel, normal_cdf, one_hot
from mtlrepro.tasks.base import Task


class Law(NamedTuple):
    """The normal law whose distribution function Φ squashes a task's values into (0, 1)."""

    mean: float = 0.0
    std: float = 1.0


class Form(ABC):
    """How one task enters the stack. Everything is per sample; masks are (B, 1, H, W) of 0 and 1.

    Args:
        task: the task.
        law: for tasks with values of any range.

    Class attributes:
        absent: what a batch target holds where there is no label.
    """

    absent: ClassVar[float]

    def __init__(self, task: Task, law: Law = Law()):  # noqa: B008  (a tuple)
        self.task, self.law = task, law

    def values(self, raw: Tensor) -> Tensor:
        """A raw prediction (B, C, H, W) with gradient, in the unit in which labels are given."""
        return self.task.decode(raw)

    @abstractmethod
    def prediction(self, values: Tensor, mask: Tensor, hard: bool = True) -> Tensor:
        """What a prediction is in the stack, (B, C, H, W).

        Args:
            values: as from `values`.
            mask: pixels that count.
            hard: whether classes are drawn, one a pixel and anew by every call, or enter by their probability.
        """

    @abstractmethod
    def label(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """What a batch target is in the stack, (B, C, H, W)."""


class ClassForm(Form):
    """Class maps: a class drawn from the logits, masked; labels one-hot, all zeros where ignored."""

    absent = IGNORE

    def values(self, raw: Tensor) -> Tensor:
        """Logits as they are."""
        return raw

    def prediction(self, values: Tensor, mask: Tensor, hard: bool = True) -> Tensor:
        """Straight-through Gumbel sample, or softmax, times the mask."""
        return (hard_gumbel(values) if hard else values.softmax(1)) * mask

    def label(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """One-hot; the joint mask does not touch it."""
        return one_hot(target, self.task.channels, dtype)


class ScalarForm(Form):
    """Depth and standardised maps: Φ of the value, and Φ(0) where masked or without label."""

    absent = 0.0

    def squash(self, values: Tensor) -> Tensor:
        """Φ."""
        return normal_cdf(values, *self.law)

    def prediction(self, values: Tensor, mask: Tensor, hard: bool = True) -> Tensor:
        """Φ(ŷ · M)."""
        return self.squash(values * mask)

    def label(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """Φ(y), y = 0 where invalid."""
        return self.squash(torch.where(self.task.valid(target), target, 0.0).to(dtype))


class VectorForm(Form):
    """Normals: (n + 1) / 2, and 0.5 where masked or without label."""

    absent = 0.0

    def prediction(self, values: Tensor, mask: Tensor, hard: bool = True) -> Tensor:
        """(n̂ · M + 1) / 2 of the unit vector."""
        return (values * mask + 1) / 2

    def label(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """(n + 1) / 2."""
        return (target.to(dtype) + 1) / 2


class BinaryForm(Form):
    """Edges and saliency: a probability, and 0 where masked or without label."""

    absent = IGNORE

    def prediction(self, values: Tensor, mask: Tensor, hard: bool = True) -> Tensor:
        """Probability times the mask."""
        return values * mask

    def label(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """1 on an edge or in the foreground, 0 elsewhere."""
        return torch.where(self.task.valid(target), target, 0.0).to(dtype)


STACK_FORMS: dict[str, type[Form]] = {
    "semseg": ClassForm,
    "parts": ClassForm,
    "saliency": BinaryForm,
    "depth": ScalarForm,
    "normals": VectorForm,
    "edges": BinaryForm,
    "occlusion": ScalarForm,
    "reshading": ScalarForm,
    "keypoints": ScalarForm,
    "texture": ScalarForm,
}
"""Task -> how it enters the stack. A task that is not among them cannot take part."""


def make_forms(tasks: Mapping[str, Task], laws: Mapping[str, Law]) -> dict[str, Form]:
    """A form for each of the tasks, in their order, which is that of the stack's channels.

    Args:
        tasks: the tasks of the stack.
        laws: task -> law; others have mean 0 and deviation 1.

    Raises:
        SpecError: for a task that has no form.
    """
    for name in tasks:
        if name not in STACK_FORMS:
            raise unknown("task of a joint stack:", name, STACK_FORMS, field="objective")
    return {name: STACK_FORMS[name](task, laws.get(name, Law())) for name, task in tasks.items()}


@dataclass(frozen=True)
class Scene:
    """What the stacks of one view are made of.

    Attributes:
        values: task -> prediction (B, C, H, W), as from `Form.values`.
        targets: task -> batch target, `Form.absent` throughout where a sample has no label.
        labelled: task -> (B,) bool.
        mask: (B, 1, H, W), 1 where every label that a sample has is valid; all 1 for a sample without labels.
    """

    values: dict[str, Tensor]
    targets: dict[str, Tensor]
    labelled: dict[str, Tensor]
    mask: Tensor

    @classmethod
    def of(
        cls,
        forms: Mapping[str, Form],
        raw: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        labelled: Mapping[str, Tensor],
    ) -> Self:
        """The scene of raw predictions at label size. Targets of samples without label are never read."""
        values = {name: form.values(raw[name]) for name, form in forms.items()}
        known = {t: torch.where(per_sample(labelled[t], targets[t]), targets[t], forms[t].absent) for t in forms}
        mask = torch.stack([f.task.valid(known[t]) | ~per_sample(labelled[t], raw[t]) for t, f in forms.items()]).all(0)
        dtype = next(iter(values.values())).dtype
        return cls(values, known, dict(labelled), mask.to(dtype))

    def detached(self) -> Self:
        """The same without gradients."""
        return replace(self, values={task: values.detach() for task, values in self.values.items()})

    def detached_where_labelled(self) -> Self:
        """The same with gradients of a sample's unlabelled tasks only."""
        return replace(self, values={t: choose(self.labelled[t], v.detach(), v) for t, v in self.values.items()})

    def with_values_of(self, other: Self, flags: Tensor) -> Self:
        """The same with another scene's predictions of the samples where a flag (B,) is set."""
        return replace(self, values={t: choose(flags, other.values[t], v) for t, v in self.values.items()})


def per_sample(flags: Tensor, like: Tensor) -> Tensor:
    """Flags (B,) in the shape (B, 1, …) that broadcasts against a tensor."""
    return flags.view(-1, *[1] * (like.ndim - 1))


def choose(flags: Tensor, where: Tensor, otherwise: Tensor) -> Tensor:
    """Samples (B, …) of one tensor where a flag (B,) is set and of another elsewhere; neither leaks into the other."""
    return torch.where(per_sample(flags, where), where, otherwise)


def stack_predictions(forms: Mapping[str, Form], scene: Scene, hard: bool = True) -> Tensor:
    """Ŷ of eq. 4: the predictions of all tasks, (B, ΣC, H, W)."""
    return torch.cat([form.prediction(scene.values[t], scene.mask, hard) for t, form in forms.items()], 1)


def stack_targets(forms: Mapping[str, Form], scene: Scene, substitute: Tensor) -> Tensor:
    """Y of eq. 4: labels where a sample has them, elsewhere the entries of a stack of predictions; (B, ΣC, H, W)."""
    entries = split_tasks(forms, substitute)
    labels = {t: form.label(scene.targets[t], substitute.dtype) for t, form in forms.items()}
    return torch.cat([choose(scene.labelled[t], labels[t], entry) for t, entry in entries.items()], 1)


def split_tasks(forms: Mapping[str, Form], stack: Tensor) -> dict[str, Tensor]:
    """A stack (B, ΣC, H, W) cut into the tasks' own channels."""
    return dict(zip(forms, stack.split([form.task.channels for form in forms.values()], 1), strict=True))
