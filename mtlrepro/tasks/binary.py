"""What edges and saliency share: one logit a pixel or two, labels 0 and 1, 255 ignored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError
from mtlrepro.metrics.segmentation import IGNORE
from mtlrepro.tasks.base import Task, average_softmax, full_precision, to_picture


def difference(logits: Tensor) -> Tensor:
    """Two logits (B, 2, H, W), of no and of yes, to the one (B, 1, H, W) that gives the same probability of yes."""
    return logits[:, 1:] - logits[:, :1]


class Binary(Task):
    """A task whose label says yes or no of every pixel."""

    @property
    def usual_channels(self) -> int:
        """One logit."""
        return 1

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) uint8 to (1, H, W) float32."""
        self._check_label(label, torch.uint8, "(H, W)")
        wrong = (label > 1) & (label != IGNORE)
        if bool(wrong.any()):
            mend = f"Labels of {self.name} are 0, 1, or {IGNORE} where ignored"
            raise DataError(f"label holds the value {int(label[wrong][0])}", field=self.name, mend=mend)
        return label.float().unsqueeze(0)

    def valid(self, target: Tensor) -> Tensor:
        """Where the label is not 255."""
        return target != IGNORE

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All 255."""
        return torch.full(size, IGNORE, dtype=torch.uint8)

    def usual_decode(self, prediction: Tensor) -> Tensor:
        """Logits (B, 1, H, W) to probabilities."""
        return full_precision(prediction).sigmoid()

    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """The logit of the mean probability."""
        pairs = [torch.cat([torch.zeros_like(logits), logits], 1) for logits in predictions]
        return difference(average_softmax(pairs))

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Grey, white where the answer is certainly yes; ignored label pixels are mid-grey."""
        return to_picture(torch.where(decoded == IGNORE, 0.5, decoded)[0])
