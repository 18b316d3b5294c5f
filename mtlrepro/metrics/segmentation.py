"""Semantic segmentation: one confusion matrix over the data set (Everingham et al., IJCV 2010, sec. 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric, check_pair

IGNORE = 255


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int, task: str = "semseg") -> Tensor:
    """Count pixels by (label, prediction).

    Args:
        prediction: (B, H, W) integer class ids, 0 <= id < classes.
        target: (B, H, W) integer class ids, or 255 where ignored, the one ignored id there is: what a data set
            calls otherwise (-1, 250) becomes 255 when it is read.
        classes: number of classes.
        task: what error messages name.

    Returns:
        (classes, classes) int64; rows are labels, columns predictions.

    Raises:
        SpecError: on a shape mismatch, non-integer ids or a predicted id out of range.
        DataError: on a label that is neither a class nor 255.

    Example:
        >>> confusion_matrix(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    check_pair(task, prediction, target, None)
    for what, ids in (("prediction", prediction), ("target", target)):
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise SpecError(f"{what} is {ids.dtype}", field=task, mend="Pass integer class ids, not logits")
    valid = target != IGNORE
    label, guess = torch.where(valid, target, 0).long(), torch.where(valid, prediction, 0).long()
    if label.numel():
        (low, high), (first, last) = torch.stack([torch.stack(v.aminmax()) for v in (label, guess)]).tolist()
        if low < 0 or high >= classes:
            bad = low if low < 0 else high
            mend = f"Labels are 0 to {classes - 1}, or {IGNORE} where ignored"
            raise DataError(f"label holds class id {bad} of {classes} classes", field=task, mend=mend)
        if first < 0 or last >= classes:
            bad = first if first < 0 else last
            mend = f"Predictions are 0 to {classes - 1}"
            raise SpecError(f"prediction holds class id {bad} of {classes} classes", field=task, mend=mend)
    cell = torch.where(valid, label * classes + guess, classes * classes)  # ignored pixels into a cell beyond the last
    return torch.bincount(cell.flatten(), minlength=classes * classes + 1)[:-1].view(classes, classes)


def class_iou(confusion: Tensor) -> Tensor:
    """Intersection over union per class, float64; NaN for a class in neither label nor prediction."""
    confusion = confusion.double()
    hit = confusion.diagonal()
    return hit / (confusion.sum(0) + confusion.sum(1) - hit)


def mean_iou(confusion: Tensor, absent: str, first: int = 0) -> float:
    """Mean of `class_iou`, in [0, 1].

    Args:
        confusion: (C, C) counts, rows are labels.
        absent: what a class in neither label nor prediction does to the mean: `"zero"` counts as 0 (public
            reference implementations of MTI-Net and InvPT), `"skip"` not at all (DenseMTL), `"nan"` makes the mean
            NaN (JTR, MTPSL, MTAN). A class that is only predicted has an IoU of 0 under all three.
        first: the first class in the mean; 1 leaves a background class 0 out.

    Returns:
        The mean; NaN if no pixel was valid.

    Raises:
        SpecError: on another rule.

    Example:
        >>> eye = torch.diag(torch.tensor([5, 5, 0]))
        >>> round(mean_iou(eye, "zero"), 4), mean_iou(eye, "skip"), mean_iou(eye, "nan")
        (0.6667, 1.0, nan)
    """
    if absent not in ("zero", "skip", "nan"):
        raise SpecError(f"absent={absent!r}", field="mean_iou", mend="Use 'zero', 'skip' or 'nan'")
    if not int(confusion.sum()):
        return math.nan
    iou = class_iou(confusion)[first:]
    if absent == "zero":
        iou = iou.nan_to_num(0.0)
    return float(iou.nanmean() if absent == "skip" else iou.mean())


def accuracies(confusion: Tensor) -> tuple[float, float]:
    """Pixel accuracy, and mean over the classes that occur in the labels of their accuracy; both in [0, 1] or NaN."""
    confusion = confusion.double()
    hit, labels = confusion.diagonal(), confusion.sum(1)
    return float(hit.sum() / confusion.sum()), float((hit / labels).nanmean())


class _Confusion(Metric):
    task: ClassVar[str] = "semseg"
    first: ClassVar[int] = 0

    def __init__(self, classes: int):
        super().__init__()
        if classes <= self.first:
            raise SpecError(f"{classes} classes", field=self.protocol, mend=f"Name {self.first + 1} or more")
        self._zeros("confusion", classes, classes, dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, H, W) predicted class ids and labels (255 ignored)."""
        classes = self.state["confusion"].shape[0]
        self._add({"confusion": confusion_matrix(prediction, target, classes, self.task)})


class MeanIoU(_Confusion):
    """`miou/dataset@1`: mIoU over all classes, an absent class counting 0, with pixel and mean accuracy.

    Protocol of MTI-Net (sec. 3.1) and InvPT as their public reference implementations have it: pooled over all
    valid pixels of all images. Fractions in [0, 1]. Counts are integers, so batching cannot change a bit.

    Class attributes:
        absent: the rule of `mean_iou` for absent classes, and `first` its first class: all that the subclasses change.

    Args:
        classes: number of classes.

    Raises:
        SpecError: if the mean would be over no class.

    Example:
        >>> metric = MeanIoU(2)
        >>> metric.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 255]]]))
        >>> {k: round(v, 3) for k, v in metric.compute().items()}
        {'miou': 0.5, 'pixel_acc': 0.667, 'mean_acc': 0.75}
    """

    protocol = "miou/dataset@1"
    better: ClassVar[dict[str, str]] = {"miou": "higher", "pixel_acc": "higher", "mean_acc": "higher"}
    absent: ClassVar[str] = "zero"

    def compute(self) -> dict[str, float]:
        """Figures miou, pixel_acc and mean_acc; NaN if every pixel was ignored."""
        confusion = self.state["confusion"]
        pixel, mean = accuracies(confusion)
        return {"miou": mean_iou(confusion, self.absent, self.first), "pixel_acc": pixel, "mean_acc": mean}


class MeanIoUPresent(MeanIoU):
    """`miou/present@1`: as `miou/dataset@1`, with the mean over the classes that occur in a label or a prediction.

    Protocol of DenseMTL's public reference implementation, and the sensible one for subsets and small sets.

    Example:
        >>> metric = MeanIoUPresent(3)
        >>> metric.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 255]]]))
        >>> metric.compute()["miou"]  # class 2 does not count
        0.5
    """

    protocol = "miou/present@1"
    absent = "skip"


class MeanIoUStrict(MeanIoU):
    """`miou/strict@1`: as `miou/dataset@1`, but miou is NaN as soon as one class occurs in no label and no prediction.

    Protocol of the public reference implementations of JTR, MTPSL and MTAN. The accuracies are not affected.

    Example:
        >>> metric = MeanIoUStrict(3)
        >>> metric.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 255]]]))
        >>> metric.compute()["miou"], round(metric.compute()["pixel_acc"], 3)
        (nan, 0.667)
    """

    protocol = "miou/strict@1"
    absent = "nan"


class MeanIoUForeground(MeanIoU):
    """`miou/foreground@1`: as `miou/present@1`, but the IoU of class 0, the background, is left out of the mean.

    Background pixels stay in the counts, so calling background a class, or a class background, costs that class.
    NaN if no other class occurs. The accuracies include the background. This project's protocol, after the common
    practice with sets in the manner of PASCAL VOC.

    Example:
        >>> metric = MeanIoUForeground(3)
        >>> metric.update(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[0, 0, 1, 1]]]))
        >>> round(metric.compute()["miou"], 3)
        0.667
    """

    protocol = "miou/foreground@1"
    absent = "skip"
    first = 1


class ClassIoU(_Confusion):
    """`iou/class@1`: the IoU of every class by itself, in [0, 1]; NaN for a class in neither label nor prediction.

    Pooled as `miou/dataset@1`, whose mean this takes apart; DenseMTL prints such columns.

    `better` of the class names the family only, as figure iou. Every instance has a `better` of its own, with
    the figures that `compute` returns: "traffic light" becomes iou_traffic_light.

    Args:
        names: class names in the order of their ids; in figures they are lower-case, with underscores for spaces.

    Raises:
        SpecError: if there is no name, two make the same figure, or one is empty or holds a dot (metric ids are
            split at dots).

    Example:
        >>> metric = ClassIoU(["road", "Traffic light"])
        >>> metric.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 255]]]))
        >>> metric.compute()
        {'iou_road': 0.5, 'iou_traffic_light': 0.5}
    """

    protocol = "iou/class@1"
    better: ClassVar[dict[str, str]] = {"iou": "higher"}

    def __init__(self, names: Sequence[str]):
        super().__init__(len(names))
        words = [name.strip().lower().replace(" ", "_") for name in names]
        wrong = [word for word in words if not word or "." in word or words.count(word) > 1]
        if wrong:
            mend = "Give every class a name of its own, without a dot"
            raise SpecError(f"class name {wrong[0]!r} cannot name a figure", field=self.protocol, mend=mend)
        self.better = {f"iou_{word}": "higher" for word in words}  # type: ignore[misc]  # figures follow the names

    def merge(self, other: Self) -> Self:
        """Add another accumulator's counts to this one and return it.

        Raises:
            SpecError: if the other one follows another protocol or has other class names.
        """
        if other.protocol == self.protocol and list(other.better) != list(self.better):
            mend = "Merge accumulators built with the same names in the same order"
            raise SpecError("cannot merge the IoU of other classes", field=self.protocol, mend=mend)
        return super().merge(other)

    def compute(self) -> dict[str, float]:
        """One figure a class."""
        return dict(zip(self.better, class_iou(self.state["confusion"]).tolist(), strict=True))
