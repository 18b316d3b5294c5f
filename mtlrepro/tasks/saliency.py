"""Saliency: foreground or background, cross-entropy balanced over the batch (MTI-Net, sec. 3.1; MT-CP, sec. 4.2).

A softmax over two channels, as ATRC, InvPT and the 3D-aware regularizer have it, depends on their difference alone:
with the same weights its loss is that of one logit, the difference. A network trained so has two output channels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro import collective
from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.saliency import (
    IGNORE,
    SaliencyF03,
    SaliencyF03Image,
    SaliencyF03Sigmoid,
    SaliencyF1,
    SaliencyJaccard,
)
from mtlrepro.tasks.base import Loss, average_softmax
from mtlrepro.tasks.binary import Binary, difference


def balanced_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy (nats) of every pixel, each of the two classes weighted by the other's share; an `ElementwiseLoss`.

    Foreground is weighted w and background 1 - w, where w is the share of background among the valid pixels of the
    whole batch. A batch of one class alone has no loss.
    """
    foreground = target == 1
    # Counts as integers: their sum has one value in any order.
    w = collective.total((valid & ~foreground).sum()) / collective.total(valid.sum()).clamp(min=1)
    weight = torch.where(foreground, w, 1 - w).to(logits.dtype) * valid
    return F.binary_cross_entropy_with_logits(logits, foreground.to(logits.dtype), weight=weight, reduction="none")


def two_classes(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """`balanced_cross_entropy` of two logits, background and foreground; an `ElementwiseLoss`."""
    return balanced_cross_entropy(difference(logits), target, valid)


def foreground_probability(logits: Tensor) -> Tensor:
    """Two logits (B, 2, H, W) to (B, 1, H, W) probabilities of the foreground, the second channel of a softmax."""
    return difference(logits).sigmoid()


class Saliency(Binary):
    """1 in the foreground, 0 in the background, 255 ignored."""

    name = "saliency"
    main_metric = "miou"
    LOSSES = {
        "balanced_cross_entropy": Loss(balanced_cross_entropy),
        "two_classes": Loss(two_classes, channels=2, decode=foreground_probability, average=average_softmax),
    }

    def metrics(self) -> list[Metric]:
        """MTI-Net's IoU and F1, then F with beta^2 = 0.3 pooled, by InvPT's double sigmoid, and by image."""
        return [SaliencyJaccard(), SaliencyF1(), SaliencyF03(), SaliencyF03Sigmoid(), SaliencyF03Image()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """One half, (1, 1, 1, 1) float32, the constant of least loss whatever the shares of the two classes.

        Thresholds below it call everything foreground and those above nothing: figures take the better of the two.
        """
        if not any(bool((label != IGNORE).any()) for label in labels):
            raise DataError("no valid pixel in the training set", field=self.name)
        return torch.full((1, 1, 1, 1), 0.5)
