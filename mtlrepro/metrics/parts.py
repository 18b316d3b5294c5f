"""Human-part segmentation: one confusion matrix over the images that show a person (Chen et al., CVPR 2014)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.metrics.base import check_pair
from mtlrepro.metrics.segmentation import IGNORE, MeanIoU

CLASSES = 7
"""Background, head, torso, upper arms, lower arms, upper legs, lower legs."""


def shows_parts(target: Tensor) -> Tensor:
    """Which images count, (B,) bool: those whose (B, H, W) label holds something else than 0 (background) and 255.

    Example:
        >>> shows_parts(torch.tensor([[[0, 255]], [[0, 3]]])).tolist()
        [False, True]
    """
    return ((target != 0) & (target != IGNORE)).flatten(1).any(dim=1)


class Parts(MeanIoU):
    """`parts/dataset@1`: mIoU over all parts and the background, an absent class counting 0, and the accuracies.

    Fractions in [0, 1], pooled over the valid pixels of all images whose label holds a part. An image without one
    is ignored as a whole, whatever is predicted there: parts are labelled on persons only, so its background
    pixels are not a finding. Protocol of MTI-Net (sec. 3.1) and InvPT as their public reference implementations
    have it.

    Args:
        classes: number of classes, the background included.

    Example:
        >>> metric = Parts(2)
        >>> prediction, target = torch.tensor([[[1, 1]], [[1, 0]]]), torch.tensor([[[1, 0]], [[0, 0]]])
        >>> metric.update(prediction, target)
        >>> metric.compute()
        {'miou': 0.25, 'pixel_acc': 0.5, 'mean_acc': 0.5}
    """

    protocol = "parts/dataset@1"
    task: ClassVar[str] = "parts"

    def __init__(self, classes: int = CLASSES):
        super().__init__(classes)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, H, W) predicted class ids and labels (0 background, 255 ignored)."""
        check_pair(self.task, prediction, target, None)
        shown = shows_parts(target)
        if not bool(shown.all()):
            prediction, target = prediction[shown], target[shown]
        super().update(prediction, target)
