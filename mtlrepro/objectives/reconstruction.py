"""L_recon of JTR (CVPR 2024, eq. 5): how far the auto-encoder's output is from the stack that it was given.

The paper has the tasks' own losses here. The public reference implementation, which made the printed tables, has
others, and goals of its own instead of the stack (`target_goals`, `noisy_goals`; the paper's are `stack_goals`). Of
parts, saliency, edges and standardised maps nothing is released; they follow the same pattern, values squashed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.objectives.latent import normal_cdf
from mtlrepro.objectives.stacks import Form, Scene, choose, split_tasks
from mtlrepro.tasks.normals import unit_vectors

SLOPE = 1 - 1e-5
"""Keeps sigmoids, which squashed values are compared with, off 0 and 1."""


class Goal(NamedTuple):
    """What one task's output is compared with.

    Attributes:
        values: (B, C, H, W), without gradient.
        divisor: (B,) what the sum of a sample's errors is divided by, at least 1.
    """

    values: Tensor
    divisor: Tensor


def elements(values: Tensor) -> Tensor:
    """(B,) number of elements of each sample that are not zero (or not False), 1 if there is none."""
    return (values != 0).sum((1, 2, 3)).clamp(min=1)


class Part:
    """One task's part of the output: cross-entropy of sigmoids, summed over channels. Subclasses differ in little.

    Args:
        form: how the task enters the stack.

    Class attributes:
        offset: what a sample's mean error is added to.
    """

    offset = 0.0

    def __init__(self, form: Form):
        self.form = form

    def error(self, output: Tensor, goal: Tensor) -> Tensor:
        """Elementwise error of the raw output, (B, C, H, W)."""
        return F.binary_cross_entropy_with_logits(output, goal, reduction="none")

    def label_goal(self, target: Tensor, dtype: torch.dtype) -> Goal:
        """The goal of the output for Y where there is a label: what the stack holds; valid pixels count."""
        return Goal(self.form.label(target, dtype), elements(self.form.task.valid(target)))

    def prediction_goal(self, values: Tensor, mask: Tensor) -> Goal:
        """The goal of the output for Y where there is none."""
        return self.noisy_goal(values, mask)

    def noisy_goal(self, values: Tensor, mask: Tensor) -> Goal:
        """The goal of the output for Ŷ: what such a stack holds, classes drawn anew."""
        entry = self.form.prediction(values, mask)
        return Goal(entry, elements(entry))

    def from_stack(self, entry: Tensor) -> Tensor:
        """What the stack holds, in the form that `error` takes."""
        return entry

    def loss(self, output: Tensor, goal: Goal, mask: Tensor) -> Tensor:
        """(B,) offset + Σ error · M / divisor."""
        return self.offset + (self.error(output, goal.values) * mask).sum((1, 2, 3)) / goal.divisor


class ScalarPart(Part):
    """Standardised maps: L1 between a sigmoid and the squashed value."""

    def error(self, output: Tensor, goal: Tensor) -> Tensor:
        """|σ(r) - q|."""
        return ((output.sigmoid() - 0.5) * SLOPE + 0.5 - goal).abs()

    def prediction_goal(self, values: Tensor, mask: Tensor) -> Goal:
        """Φ(ŷ), without mask."""
        return Goal(normal_cdf(values, *self.form.law), elements(values))


class DepthPart(ScalarPart):
    """Depth, as published: the goal for Ŷ is squashed twice."""

    def noisy_goal(self, values: Tensor, mask: Tensor) -> Goal:
        """Φ(Φ(ŷ · M))."""
        entry = self.form.prediction(values, mask)
        return Goal(normal_cdf(entry, *self.form.law), elements(entry))


class VectorPart(Part):
    """Normals, as published: 1 minus the cosine, divided by the number of components, three a pixel.

    The goal is in [-1, 1] for Y and in [0, 1] for Ŷ.
    """

    offset = 1.0

    def error(self, output: Tensor, goal: Tensor) -> Tensor:
        """Minus the products of the components of the output at unit length and the goal."""
        return -unit_vectors(output) * goal

    def label_goal(self, target: Tensor, dtype: torch.dtype) -> Goal:
        """The label as it is."""
        return Goal(target.to(dtype), elements(target))

    def prediction_goal(self, values: Tensor, mask: Tensor) -> Goal:
        """n̂ as it is, without mask."""
        return Goal(values, elements(values))

    def from_stack(self, entry: Tensor) -> Tensor:
        """Back to [-1, 1]."""
        return 2 * entry - 1


PARTS: dict[str, type[Part]] = {
    "semseg": Part,
    "parts": Part,
    "saliency": Part,
    "depth": DepthPart,
    "normals": VectorPart,
    "edges": Part,
    "occlusion": ScalarPart,
    "reshading": ScalarPart,
    "keypoints": ScalarPart,
    "texture": ScalarPart,
}
"""Task -> how its part of the output is judged; the tasks are those of `mtlrepro.objectives.stacks.STACK_FORMS`."""


def make_parts(forms: Mapping[str, Form]) -> dict[str, Part]:
    """A part for each form, in their order."""
    return {task: PARTS[task](form) for task, form in forms.items()}


def target_goals(parts: Mapping[str, Part], scene: Scene) -> dict[str, Goal]:
    """The published goals of the output for Y."""
    goals, scene = {}, scene.detached()
    for task, part in parts.items():
        values, has = scene.values[task], scene.labelled[task]
        label, other = part.label_goal(scene.targets[task], values.dtype), part.prediction_goal(values, scene.mask)
        goals[task] = Goal(choose(has, label.values, other.values), choose(has, label.divisor, other.divisor))
    return goals


def noisy_goals(parts: Mapping[str, Part], scene: Scene) -> dict[str, Goal]:
    """The published goals of the output for Ŷ."""
    scene = scene.detached()
    return {task: part.noisy_goal(scene.values[task], scene.mask) for task, part in parts.items()}


def stack_goals(parts: Mapping[str, Part], stack: Tensor, mask: Tensor) -> dict[str, Goal]:
    """The paper's goals: the stack itself, every error a mean over the pixels of the mask (sums over classes)."""
    entries = _entries(parts, stack.detach())
    return {task: Goal(part.from_stack(entries[task]), elements(mask)) for task, part in parts.items()}


def reconstruction_loss(parts: Mapping[str, Part], output: Tensor, goals: Mapping[str, Goal], mask: Tensor) -> Tensor:
    """(B,) sum over the tasks of how far the output (B, ΣC, H, W) is from the goals, where the mask is 1."""
    entries = _entries(parts, output)
    losses = [part.loss(entries[task], goals[task], mask) for task, part in parts.items()]
    return torch.stack(losses).sum(0)


def _entries(parts: Mapping[str, Part], stack: Tensor) -> dict[str, Tensor]:
    return split_tasks({task: part.form for task, part in parts.items()}, stack)
