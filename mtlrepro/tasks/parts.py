"""Human-part segmentation: one class per pixel of a person, softmax cross-entropy (MTI-Net, sec. 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.parts import Parts as PartsMetric
from mtlrepro.metrics.parts import shows_parts
from mtlrepro.metrics.segmentation import IGNORE
from mtlrepro.tasks.semseg import SemSeg

NAMES = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
"""The merged parts of PASCAL-Part, in the order of their ids, on any dataset. None is left or right."""


class Parts(SemSeg):
    """Ids 0 to 6 of the background and six parts of persons, 255 ignored.

    Parts are labelled on persons only, so a label without any part says nothing of its background: it is ignored as
    a whole, also where a crop has left the persons out.
    """

    name = "parts"

    def __init__(self, info: DatasetInfo):
        super().__init__(dataclasses.replace(info, class_names=NAMES, palette=()))

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) uint8 to int64; all 255 if there is no part in it."""
        return self.settle(super().collate(label)[None])[0]

    def settle(self, target: Tensor) -> Tensor:
        """(B, H, W) with every map that shows no part ignored as a whole."""
        return torch.where(shows_parts(target)[:, None, None], target, IGNORE)

    def metrics(self) -> list[Metric]:
        """mIoU with accuracies, over the images that show a part."""
        return [PartsMetric()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """The class of most pixels of the training labels that hold a part, (1, 1, 1) int64."""
        return super().trivial(label for label in labels if bool(shows_parts(label[None])))
