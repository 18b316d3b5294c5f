"""Saliency: the foreground against a binary label at many thresholds (Achanta et al., CVPR 2009, sec. 4.2).

Papers print figures of several protocols under the names mIoU and maxF. They differ in thresholds, in what is
averaged over images and what is pooled, and in beta; none can be compared with another.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric, check_finite, check_pair

IGNORE = 255
FIFTEEN = torch.from_numpy(np.linspace(0.2, 0.9, 15))
"""0.20, 0.25 ... 0.90, to the bit those of MTI-Net and MT-CP. Predictions stored in 8 bits meet four of them: divide
by 255 in float64, and the level 51 is not above 0.2, as in the comparison that their figures were made with (numpy
before version 2; later ones compare a float32 map in float64, where it is)."""

NINETEEN = torch.arange(1, 20, dtype=torch.float64) / 20
"""0.05, 0.10 ... 0.95, those of ATRC and InvPT."""

BETA2 = 0.3
"""Weight of recall against precision in F (Achanta et al.)."""

_TINY = 1e-12
"""Added to the denominators of `saliency/f1-image@1`, as in the public reference implementation: 0 / 0 is 0."""

Counts = Mapping[str, Tensor]


def threshold_counts(prediction: Tensor, target: Tensor, thresholds: Tensor, strict: bool) -> dict[str, Tensor]:
    """What each image's pixels say at each threshold.

    Args:
        prediction: (B, 1, H, W) probability of the foreground, in [0, 1].
        target: (B, 1, H, W), 1 foreground, 0 background, 255 ignored.
        thresholds: (T,) float64, rising; compared in float64.
        strict: whether a pixel is called foreground only above a threshold, or also at it.

    Returns:
        int64 counts of valid pixels: hits (B, T), foreground pixels that are called so; called (B, T), all that
        are; foreground (B,); pixels (B,); and non_finite, a scalar, the predictions that are.

    Raises:
        SpecError: on a shape mismatch or a prediction outside [0, 1] at a valid pixel.
        DataError: on a label other than 0, 1 and 255.

    Example:
        >>> p, y = torch.tensor([[[[0.9, 0.5, 0.2]]]]), torch.tensor([[[[1.0, 0.0, 255.0]]]])
        >>> counts = threshold_counts(p, y, torch.tensor([0.1, 0.5, 0.9]).double(), strict=True)
        >>> counts["hits"].tolist(), counts["called"].tolist()  # 0.9 in float32 is below 0.9 in float64
        ([[1, 1, 0]], [[2, 1, 0]])
    """
    check_pair("saliency", prediction, target, 1)
    valid = target != IGNORE
    wrong = valid & (target != 0) & (target != 1)
    if bool(wrong.any()):
        check_finite("saliency", target)
        mend = f"Saliency labels are 0, 1, or {IGNORE} where ignored"
        raise DataError(f"label holds the value {float(target[wrong][0]):g}", field="saliency", mend=mend)
    broken = ~((prediction >= 0) & (prediction <= 1)) & valid
    if bool(broken.any()) and bool(torch.isfinite(prediction[broken]).any()):
        raise SpecError("prediction is not in [0, 1]", field="saliency", mend="Pass probabilities, not logits")

    # One histogram for each image and kind of pixel (background, foreground, ignored); its tails are the counts.
    # In 32 bits and in place: the time goes into touching memory.
    images, bins = len(target), len(thresholds) + 1
    place = torch.bucketize(prediction.double(), thresholds.to(prediction.device), right=not strict, out_int32=True)
    offset = torch.arange(images, dtype=torch.int32, device=target.device).view(-1, 1, 1, 1) * (3 * bins)
    place.add_(target.clamp(max=2).int(), alpha=bins).add_(offset)
    histogram = torch.bincount(place.flatten(), minlength=3 * images * bins)
    tails = histogram.view(images, 3, bins)[:, :2].flip(-1).cumsum(-1).flip(-1)
    return {
        "hits": tails[:, 1, 1:],
        "called": tails[..., 1:].sum(1),
        "foreground": tails[:, 1, 0],
        "pixels": tails[..., 0].sum(1),
        "non_finite": broken.sum(),
    }


def image_jaccard(counts: Counts) -> Tensor:
    """Intersection over union of the foreground, (B, T) float64; 1 where label and prediction are both empty."""
    union = counts["called"] + counts["foreground"].unsqueeze(-1) - counts["hits"]
    return torch.where(union == 0, 1.0, counts["hits"].double() / union.clamp(min=1))


def f_measure(hits: Tensor, called: Tensor, foreground: Tensor) -> Tensor:
    """F with beta^2 = 0.3, float64; 0 where precision or recall is undefined.

    (1 + b) P R / (b P + R) with P = hits / called and R = hits / foreground is (1 + b) hits / (b foreground +
    called), which needs no case for P = R = 0.

    Example:
        >>> f_measure(*torch.tensor([[2, 0, 0], [4, 1, 0], [2, 0, 0]])).tolist()
        [0.5652173913043479, 0.0, 0.0]
    """
    total = BETA2 * foreground.double() + called
    return torch.where(total == 0, 0.0, (1 + BETA2) * hits.double() / total)


class _Saliency(Metric):
    thresholds: ClassVar[Tensor]
    cuts: ClassVar[Tensor]  # the thresholds as the prediction meets them
    strict: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        nothing = torch.zeros(0, 1, 1, 1)
        self.state = self._sums(nothing, nothing)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) probabilities of the foreground and labels (1, 0, or 255 ignored)."""
        self._add(self._sums(prediction, target))

    def _sums(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        counts = threshold_counts(prediction, target, self.cuts, self.strict)
        return {**self._reduce(counts), "non_finite": counts["non_finite"]}

    @staticmethod
    @abstractmethod
    def _reduce(counts: Counts) -> dict[str, Tensor]:
        """Sums over the images of a batch."""


class _Curve(_Saliency):
    judged: ClassVar[str]  # the list of the curve whose maximum is the figure

    def compute(self) -> dict[str, float]:
        """The curve's maximum; NaN without a valid pixel, or if a prediction at one was not finite."""
        curve = self.curve()
        return dict.fromkeys(self.better, max(curve[self.judged]) if curve else math.nan)

    def best_threshold(self) -> float:
        """The lowest threshold that reaches the figure; NaN where that is."""
        curve = self.curve()
        return curve["thresholds"][curve[self.judged].index(max(curve[self.judged]))] if curve else math.nan

    def curve(self) -> dict[str, list[float]]:
        """Fractions jaccard, or precision, recall and f, at each of thresholds; empty where the figure is NaN."""
        sums = {name: value.cpu() for name, value in self.state.items()}
        if int(sums["non_finite"]) or not int(sums["seen"]):
            return {}
        lists = {"thresholds": self.thresholds, **self._values(sums)}
        return {name: values.tolist() for name, values in lists.items()}

    @staticmethod
    @abstractmethod
    def _values(sums: Counts) -> dict[str, Tensor]:
        """The curve but for its thresholds, given that something was seen."""


class SaliencyJaccard(_Curve):
    """`saliency/jaccard@1`: the foreground's IoU per image, averaged over images, at the best of 15 thresholds.

    Where label and prediction are both empty the IoU is 1. Fraction in [0, 1]; thresholds 0.20 to 0.90, p > t.
    An image without a valid pixel does not count. What MTI-Net's tables call mIoU of saliency, as its public
    reference implementation and ASTMT's have it.

    Example:
        >>> metric = SaliencyJaccard()
        >>> metric.update(torch.tensor([[[[0.8, 0.6, 0.3]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]]))
        >>> round(metric.compute()["miou"], 4), round(metric.best_threshold(), 2)
        (0.6667, 0.2)
    """

    protocol = "saliency/jaccard@1"
    better: ClassVar[dict[str, str]] = {"miou": "higher"}
    judged = "jaccard"
    thresholds = cuts = FIFTEEN
    strict = True

    @staticmethod
    def _reduce(counts: Counts) -> dict[str, Tensor]:
        seen = counts["pixels"] > 0
        return {"jaccard": image_jaccard(counts)[seen].sum(0), "seen": seen.sum()}

    @staticmethod
    def _values(sums: Counts) -> dict[str, Tensor]:
        return {"jaccard": sums["jaccard"] / sums["seen"]}


class SaliencyF1(_Curve):
    """`saliency/f1-image@1`: F1 of image-averaged precision and image-averaged recall, at the best of 15 thresholds.

    The harmonic mean of two means. An image without foreground adds a recall of 0, and one where nothing is called
    foreground a precision of 0, even where both are right. Fraction in [0, 1]; thresholds 0.20 to 0.90, p > t. An
    image without a valid pixel does not count. The maxF of the public reference implementations of MT-CP and MTI-Net.

    Example:
        >>> metric = SaliencyF1()
        >>> metric.update(torch.tensor([[[[0.8, 0.6, 0.3]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]]))
        >>> round(metric.compute()["maxf"], 4), round(metric.best_threshold(), 2)
        (0.8, 0.2)
    """

    protocol = "saliency/f1-image@1"
    better: ClassVar[dict[str, str]] = {"maxf": "higher"}
    judged = "f"
    thresholds = cuts = FIFTEEN
    strict = True

    @staticmethod
    def _reduce(counts: Counts) -> dict[str, Tensor]:
        seen = counts["pixels"] > 0
        precision = counts["hits"] / (counts["called"].double() + _TINY)
        recall = counts["hits"] / (counts["foreground"].double() + _TINY).unsqueeze(-1)
        return {"precision": precision[seen].sum(0), "recall": recall[seen].sum(0), "seen": seen.sum()}

    @staticmethod
    def _values(sums: Counts) -> dict[str, Tensor]:
        precision, recall = sums["precision"] / sums["seen"], sums["recall"] / sums["seen"]
        return {"precision": precision, "recall": recall, "f": 2 * precision * recall / (precision + recall + _TINY)}


class SaliencyF03(_Curve):
    """`saliency/f03@1`: F with beta^2 = 0.3 of counts pooled over all valid pixels, at the best of 19 thresholds.

    Fraction in [0, 1], 0 without any foreground; thresholds 0.05 to 0.95, p >= t. All counts are integers, so
    batching cannot change a bit. The maxF of ATRC's public reference implementation.

    Example:
        >>> metric = SaliencyF03()
        >>> metric.update(torch.tensor([[[[0.8, 0.6, 0.3]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]]))
        >>> round(metric.compute()["maxf"], 4), metric.best_threshold()  # precision 1, recall 1/2
        (0.8125, 0.65)
    """

    protocol = "saliency/f03@1"
    better: ClassVar[dict[str, str]] = {"maxf": "higher"}
    judged = "f"
    thresholds = cuts = NINETEEN
    strict = False

    @staticmethod
    def _reduce(counts: Counts) -> dict[str, Tensor]:
        sums = {name: counts[name].sum(0) for name in ("hits", "called", "foreground")}
        return {**sums, "seen": counts["pixels"].sum()}

    @staticmethod
    def _values(sums: Counts) -> dict[str, Tensor]:
        hits, called, foreground = (sums[name].double() for name in ("hits", "called", "foreground"))
        shares = {"precision": hits / called.clamp(min=1), "recall": hits / foreground.clamp(min=1)}  # 0 for 0 / 0
        return {**shares, "f": f_measure(hits, called, foreground)}


class SaliencyF03Sigmoid(SaliencyF03):
    """`saliency/f03-sigmoid@1`: as `saliency/f03@1`, but the thresholds meet sigmoid(p), a second sigmoid.

    It maps [0, 1] to [0.5, 0.731], so five operating points remain: everything is foreground up to t = 0.50, then
    p >= 0.2007, 0.4055, 0.6190 and 0.8473; from 0.75 on nothing is. Never use it on purpose: it is the maxF of
    InvPT's public reference implementation, and so of the 3D-aware regularizer's tables.

    sigmoid(p) >= t is computed as p >= logit(t).

    Example:
        >>> metric = SaliencyF03Sigmoid()
        >>> metric.update(torch.tensor([[[[0.8, 0.6, 0.3]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]]))
        >>> round(metric.compute()["maxf"], 4), metric.best_threshold()
        (0.8125, 0.65)
    """

    protocol = "saliency/f03-sigmoid@1"
    cuts = torch.logit(NINETEEN)


class SaliencyF03Image(_Saliency):
    """`saliency/f03-image@1`: F with beta^2 = 0.3 per image, each at its best of 19 thresholds, averaged over images.

    An image without foreground does not count, be it ignored as a whole or all background: F is undefined there,
    and at the best threshold almost any prediction would be rightly empty. NaN if no image counts. Fraction in
    [0, 1], never below what one threshold for all images gives; thresholds 0.05 to 0.95, p >= t. There is no curve,
    since every image has its own threshold. This project's protocol, after the per-image maximum in parts of the
    saliency literature.

    Example:
        >>> metric = SaliencyF03Image()
        >>> p, y = torch.tensor([[[[0.8, 0.3]]], [[[0.3, 0.1]]]]), torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
        >>> metric.update(p, y)
        >>> metric.compute()  # thresholds up to 0.8 and 0.3
        {'maxf': 1.0}
    """

    protocol = "saliency/f03-image@1"
    better: ClassVar[dict[str, str]] = {"maxf": "higher"}
    thresholds = cuts = NINETEEN
    strict = False

    @staticmethod
    def _reduce(counts: Counts) -> dict[str, Tensor]:
        counted = counts["foreground"] > 0
        best = f_measure(counts["hits"], counts["called"], counts["foreground"].unsqueeze(-1)).amax(-1)
        return {"f": best[counted].sum(), "seen": counted.sum()}

    def compute(self) -> dict[str, float]:
        """Figure maxf; NaN without an image that counts, or if a prediction at a valid pixel was not finite."""
        seen = int(self.state["seen"])
        return {"maxf": float(self.state["f"]) / seen if seen and not int(self.state["non_finite"]) else math.nan}
