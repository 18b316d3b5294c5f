"""Semantic segmentation: one confusion matrix over the data set (Everingham et al., IJCV 2010, sec. 4.2)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric, check_pair

IGNORE = 255


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int) -> Tensor:
    """Count pixels by (label, prediction).

    Args:
        prediction: (B, H, W) integer class ids, 0 <= id < classes.
        target: (B, H, W) integer class ids, or 255 where ignored.
        classes: number of classes.

    Returns:
        (classes, classes) int64; rows are labels, columns predictions.

    Raises:
        SpecError: on a shape mismatch, non-integer ids or a predicted id out of range.
        DataError: on a label that is neither a class nor 255.

    Example:
        >>> confusion_matrix(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    check_pair("semseg", prediction, target, None)
    for what, ids in (("prediction", prediction), ("target", target)):
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise SpecError(f"{what} is {ids.dtype}", field="semseg", mend="Pass integer class ids, not logits")
    valid = target != IGNORE
    label, guess = target[valid].long(), prediction[valid].long()
    if label.numel():
        (low, high), (first, last) = torch.stack([torch.stack(v.aminmax()) for v in (label, guess)]).tolist()
        if low < 0 or high >= classes:
            bad = low if low < 0 else high
            mend = f"Labels are 0 to {classes - 1}, or {IGNORE} where ignored"
            raise DataError(f"label holds class id {bad} of {classes} classes", field="semseg", mend=mend)
        if first < 0 or last >= classes:
            bad = first if first < 0 else last
            raise SpecError(f"prediction holds class id {bad} of {classes} classes", field="semseg")
    return torch.bincount(label * classes + guess, minlength=classes * classes).view(classes, classes)


def class_iou(confusion: Tensor) -> Tensor:
    """Intersection over union per class, float64; NaN for a class in neither label nor prediction."""
    confusion = confusion.double()
    hit = confusion.diagonal()
    return hit / (confusion.sum(0) + confusion.sum(1) - hit)


def mean_iou(confusion: Tensor, absent: str) -> float:
    """Mean of `class_iou`, in [0, 1].

    Args:
        confusion: (C, C) counts, rows are labels.
        absent: what a class in neither label nor prediction counts: `"zero"` as 0 in the mean over all C
            classes (public reference implementations of MTI-Net and InvPT), `"skip"` not at all.

    Returns:
        The mean; NaN if no pixel was valid.

    Example:
        >>> eye = torch.diag(torch.tensor([5, 5, 0]))
        >>> round(mean_iou(eye, "zero"), 4), mean_iou(eye, "skip")
        (0.6667, 1.0)
    """
    if absent not in ("zero", "skip"):
        raise SpecError(f"absent={absent!r}", field="mean_iou", mend="Use 'zero' or 'skip'")
    if not int(confusion.sum()):
        return math.nan
    iou = class_iou(confusion)
    return float(iou.nan_to_num(0.0).mean() if absent == "zero" else iou.nanmean())


def accuracies(confusion: Tensor) -> tuple[float, float]:
    """Pixel accuracy, and mean over the classes that occur in the labels of their accuracy; both in [0, 1] or NaN."""
    confusion = confusion.double()
    hit, labels = confusion.diagonal(), confusion.sum(1)
    return float(hit.sum() / confusion.sum()), float((hit / labels).nanmean())


class _Confusion(Metric):
    def __init__(self, classes: int):
        super().__init__()
        self._zeros("confusion", classes, classes, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, H, W) predicted class ids and labels (255 ignored)."""
        self._add({"confusion": confusion_matrix(prediction, target, self.state["confusion"].shape[0])})


class MeanIoU(_Confusion):
    """`miou/dataset@1`: mIoU over all classes, an absent class counting 0, with pixel and mean accuracy.

    Protocol of MTI-Net (sec. 3.1) and InvPT as their public reference implementations have it: pooled over all
    valid pixels of all images. Fractions in [0, 1]. Counts are integers, so batching cannot change a bit.

    Args:
        classes: number of classes.

    Example:
        >>> metric = MeanIoU(2)
        >>> metric.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 255]]]))
        >>> {k: round(v, 3) for k, v in metric.compute().items()}
        {'miou': 0.5, 'pixel_acc': 0.667, 'mean_acc': 0.75}
    """

    protocol = "miou/dataset@1"
    better: ClassVar[dict[str, str]] = {"miou": "higher", "pixel_acc": "higher", "mean_acc": "higher"}

    def compute(self) -> dict[str, float]:
        """Figures miou, pixel_acc and mean_acc; NaN if every pixel was ignored."""
        pixel, mean = accuracies(self.state["confusion"])
        return {"miou": mean_iou(self.state["confusion"], "zero"), "pixel_acc": pixel, "mean_acc": mean}


class MeanIoUPresent(_Confusion):
    """`miou/present@1`: mIoU over the classes that occur in a label or a prediction, for subsets and small sets.

    Equals `miou/dataset@1` wherever all classes occur. Fraction in [0, 1].

    Args:
        classes: number of classes.
    """

    protocol = "miou/present@1"
    better: ClassVar[dict[str, str]] = {"miou_present": "higher"}

    def compute(self) -> dict[str, float]:
        """Figure miou_present; NaN if every pixel was ignored."""
        return {"miou_present": mean_iou(self.state["confusion"], "skip")}
