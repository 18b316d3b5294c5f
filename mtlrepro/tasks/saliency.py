"""Saliency: foreground or background, cross-entropy balanced over the batch (MTI-Net, sec. 3.1; MT-CP, sec. 4.2).

A softmax over two channels, as ATRC, InvPT and the 3D-aware regularizer have it, depends on their difference alone:
with the same weights its loss is that of one logit, the difference.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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
from mtlrepro.tasks.base import Task, full_precision, to_picture


def balanced_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy (nats) of every pixel, each of the two classes weighted by the other's share; an `ElementwiseLoss`.

    Foreground is weighted w and background 1 - w, where w is the share of background among the valid pixels of the
    whole batch. A batch of one class alone has no loss.
    """
    foreground = target == 1
    # Counts as integers: their sum has one value in any order.
    w = (valid & ~foreground).sum() / valid.sum().clamp(min=1)
    weight = torch.where(foreground, w, 1 - w).to(logits.dtype) * valid
    return F.binary_cross_entropy_with_logits(logits, foreground.to(logits.dtype), weight=weight, reduction="none")


class Saliency(Task):
    """1 in the foreground, 0 in the background, 255 ignored."""

    name = "saliency"
    main_metric = "miou"
    LOSSES = {"balanced_cross_entropy": balanced_cross_entropy}

    @property
    def channels(self) -> int:
        """One logit."""
        return 1

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) uint8 to (1, H, W) float32."""
        self._check_label(label, torch.uint8, "(H, W)")
        wrong = (label > 1) & (label != IGNORE)
        if bool(wrong.any()):
            mend = f"Saliency labels are 0, 1, or {IGNORE} where ignored"
            raise DataError(f"label holds the value {int(label[wrong][0])}", field=self.name, mend=mend)
        return label.float().unsqueeze(0)

    def valid(self, target: Tensor) -> Tensor:
        """Where the label is not 255."""
        return target != IGNORE

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All 255."""
        return torch.full(size, IGNORE, dtype=torch.uint8)

    def decode(self, prediction: Tensor) -> Tensor:
        """Logits (B, 1, H, W) to probabilities of the foreground."""
        return full_precision(prediction).sigmoid()

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

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Grey, white where foreground is certain; ignored label pixels are mid-grey."""
        return to_picture(torch.where(decoded == IGNORE, 0.5, decoded)[0])
