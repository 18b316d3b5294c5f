"""Losses of ATRC (Bruggemann et al., ICCV 2021): of final predictions and of auxiliary maps, weighed alike.

Auxiliary maps classify: depth by 40 ranges, normals by the nearest of 40 directions. The authors took the directions
from a k-means of each dataset's training normals; here they are the same for every dataset unless given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.metrics.segmentation import IGNORE
from mtlrepro.models.atrc import CLASSES
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.supervised import Supervised, has_labels, labelled_rows, upsample
from mtlrepro.tasks.base import Task, batch_mean
from mtlrepro.tasks.binary import difference

STAGE = "auxiliary"
"""The stage of a model's outputs that holds the logits of its auxiliary maps."""

NEAREST, FARTHEST = 0.7, 10.0
"""Metres between which the classes of depth lie; what is nearer or farther is in the first or in the last."""


def hemisphere(count: int) -> Tensor:
    """(count, 3) float32 unit vectors with z above 0, each for an equal share of the hemisphere.

    They lie on a spiral of golden angles: heights are evenly spaced, so that areas are equal (Archimedes).
    """
    step = torch.arange(count, dtype=torch.float64)
    z = 1 - (step + 0.5) / count
    angle, radius = step * math.pi * (3 - math.sqrt(5)), (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=1).float()


def depth_classes(depth: Tensor) -> Tensor:
    """(B, H, W) int64 classes of depth (B, 1, H, W) in metres, 255 where it is invalid.

    Class i of 40 begins at 0.7 · (10 / 0.7)^(i / 40) metres.
    """
    count = CLASSES["depth"]
    place = count * (depth / NEAREST).log() / math.log(FARTHEST / NEAREST)
    return torch.where(depth > 0, place.floor().clamp(0, count - 1), IGNORE).long()[:, 0]


def nearest_direction(normals: Tensor, directions: Tensor) -> Tensor:
    """(B, H, W) int64 positions, among directions (K, 3), of what is nearest to (B, 3, H, W) unit vectors; 255 invalid.

    The smallest position, where several are equally near.
    """
    # |n - c|² without |n|², which all have in common.
    distances = directions.square().sum(1)[:, None, None] - 2 * torch.einsum("kc,bchw->bkhw", directions, normals)
    return torch.where((normals != 0).any(dim=1), distances.argmin(dim=1), IGNORE)


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of the pixels of (B, H, W) class ids that are not 255; 0 where there is none."""
    values = F.cross_entropy(logits, classes, ignore_index=IGNORE, reduction="none")
    return batch_mean(values, classes != IGNORE)


def own_loss(task: Task, logits: Tensor, target: Tensor) -> Tensor:
    """The task's own loss, where the auxiliary map is a prediction like the final one."""
    return task.loss(logits, target)


def two_class_loss(task: Task, logits: Tensor, target: Tensor) -> Tensor:
    """The task's own loss of two logits, no and yes; weighted cross-entropy depends on their difference alone."""
    return task.loss(logits if task.channels == 2 else difference(logits), target)


class ATRC(Supervised):
    """Σ_t w_t [L_t(final) + L_t(auxiliary map)]; the maps get no weights of their own.

    Of an auxiliary map the loss is: for semseg and parts, that of the final prediction; for saliency and edges, that of
    the final prediction on the difference of the map's two logits, so that edges weigh the same in both; for depth and
    normals, cross-entropy over classes (`depth_classes`, `nearest_direction`). Maps are upsampled to the label's size.

    Terms are those of `Supervised` and `"auxiliary/<task>"`.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        centroids: 40 unit vectors (x, y, z) that stand for the classes of normals, in the labels' convention. Empty for
            directions spread evenly over the hemisphere of visible surfaces. Whether these have z above or below 0 is a
            convention (see `mtlrepro.data.sample`), so that its sign is not looked at then.

    Raises:
        SpecError: for centroids that are not 40 unit vectors.
    """

    directions: Tensor

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        centroids: Sequence[Sequence[float]] = (),
    ):
        super().__init__(tasks, weights, features)
        count = CLASSES["normals"]
        directions = hemisphere(count) if centroids == () else _checked(centroids, count)
        self.register_buffer("directions", directions, persistent=False)
        self.either_side = centroids == ()
        self.auxiliary: dict[str, Callable[[Task, Tensor, Tensor], Tensor]] = {
            "semseg": own_loss,
            "parts": own_loss,
            "saliency": two_class_loss,
            "edges": two_class_loss,
            "depth": self._depth_loss,
            "normals": self._normals_loss,
        }

    def losses(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of what a model predicted for the batch's first view.

        Raises:
            SpecError: as `Supervised`; and if labels of depth are not in metres where depth has an auxiliary map.
        """
        stages = dict(outputs.stages)
        auxiliary = stages.pop(STAGE, {})
        losses = super().losses(replace(outputs, stages=stages), batch)
        for task, logits in auxiliary.items():
            rows, target = labelled_rows(task, batch), batch.targets[task]
            if rows is not None:
                logits, target = logits[rows], target[rows]
            loss = self.auxiliary[task](self.tasks[task], upsample(logits, target), target)
            losses.terms[f"{STAGE}/{task}"] = loss.detach()
            if has_labels(task, batch):
                losses = losses.plus(self.weights[task] * loss)
        return losses

    def _depth_loss(self, task: Task, logits: Tensor, target: Tensor) -> Tensor:
        if task.info.inverse_depth:
            problem = f"depth of dataset {task.info.name!r} is inverse, and the classes of its auxiliary map are metres"
            raise SpecError(problem, field="relations", mend="Choose relations that need no map of depth")
        return class_loss(logits, depth_classes(target))

    def _normals_loss(self, task: Task, logits: Tensor, target: Tensor) -> Tensor:
        if self.either_side:
            target = torch.cat([target[:, :2], target[:, 2:].abs()], dim=1)
        return class_loss(logits, nearest_direction(target, self.directions))


def _checked(centroids: Sequence[Sequence[float]], count: int) -> Tensor:
    try:
        vectors = torch.tensor(centroids, dtype=torch.float32)
    except (TypeError, ValueError):  # no numbers, or vectors of several lengths
        vectors = torch.empty(0)
    if vectors.shape != (count, 3) or not bool(((vectors.norm(dim=1) - 1).abs() < 0.01).all()):
        mend = f"Give {count} unit vectors (x, y, z), or none"
        raise SpecError("cannot classify normals by these centroids", field="objective.options.centroids", mend=mend)
    return vectors
