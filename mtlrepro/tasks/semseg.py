"""Semantic segmentation: one class per pixel, softmax cross-entropy (MTI-Net, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.segmentation import IGNORE, ClassIoU, MeanIoU, MeanIoUPresent, MeanIoUStrict
from mtlrepro.tasks.base import Loss, Task, average_softmax


def cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy (nats) of every pixel, those ignored left out by the kernel itself; an `ElementwiseLoss`."""
    return F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").unsqueeze(1)


class SemSeg(Task):
    """Class ids of `info.class_names`, 255 ignored.

    Raises:
        SpecError: if the dataset names no classes, or more than 255 can tell from "ignored".
    """

    name = "semseg"
    main_metric = "miou"
    LOSSES = {"cross_entropy": Loss(cross_entropy)}

    def __init__(self, info: DatasetInfo):
        super().__init__(info)
        if not 0 < len(info.class_names) <= IGNORE:
            raise SpecError(
                f"dataset {info.name!r} names {len(info.class_names)} classes",
                field="class_names",
                mend=f"Name 1 to {IGNORE} classes in the dataset description",
            )

    @property
    def usual_channels(self) -> int:
        """Number of classes."""
        return len(self.info.class_names)

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) uint8 to int64."""
        self._check_label(label, torch.uint8, "(H, W)")
        wrong = (label >= self.channels) & (label != IGNORE)
        if bool(wrong.any()):
            raise DataError(
                f"label holds class id {int(label[wrong][0])} of {self.channels} classes",
                field=self.name,
                mend=f"Class ids are 0 to {self.channels - 1}, or {IGNORE} where ignored",
            )
        return label.long()

    def valid(self, target: Tensor) -> Tensor:
        """Where the (B, H, W) class id is not 255."""
        return (target != IGNORE).unsqueeze(1)

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All 255."""
        return torch.full(size, IGNORE, dtype=torch.uint8)

    def usual_decode(self, prediction: Tensor) -> Tensor:
        """Logits (B, C, H, W) to class ids (B, H, W) int64."""
        return prediction.argmax(dim=1)

    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """Logits of the mean softmax."""
        return average_softmax(predictions)

    def metrics(self) -> list[Metric]:
        """mIoU with accuracies, by three rules for absent classes, and the IoU of every class."""
        means = [cls(self.channels) for cls in (MeanIoU, MeanIoUPresent, MeanIoUStrict)]
        return [*means, ClassIoU(self.info.class_names)]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """The class of most training pixels, (1, 1, 1) int64."""
        count = torch.zeros(IGNORE + 1, dtype=torch.int64)
        for label in labels:
            count += torch.bincount(label.reshape(-1).long(), minlength=IGNORE + 1)
        count = count[: self.channels]
        if not count.any():
            raise DataError("no labelled pixel in the training set", field=self.name)
        return count.argmax().view(1, 1, 1)

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Colours of the dataset's palette, or the PASCAL VOC colours without one; ignored pixels are black."""
        colours = np.zeros((IGNORE + 1, 3), dtype=np.uint8)
        colours[: self.channels] = (self.info.palette or voc_palette(self.channels))[: self.channels]
        return colours[decoded.cpu().numpy()]


def voc_palette(classes: int) -> tuple[tuple[int, int, int], ...]:
    """The PASCAL VOC colour map: bits of the id, three at a time, fill red, green and blue from the top.

    Example:
        >>> voc_palette(4)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """

    def channel(number: int, bit: int) -> int:
        return sum(((number >> (3 * k + bit)) & 1) << (7 - k) for k in range(3))

    return tuple((channel(c, 0), channel(c, 1), channel(c, 2)) for c in range(classes))
