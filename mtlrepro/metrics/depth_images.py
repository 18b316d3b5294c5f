"""Depth errors averaged image by image (public reference implementations of DenseMTL, ASTMT and MTAN).

A mean over images weighs an image with few valid pixels like any other, so the figures differ from the pooled ones of
`mtlrepro.metrics.depth`, and it matters whether the root is taken before or after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.metrics.base import Metric, check_finite, check_pair
from mtlrepro.metrics.depth import FIGURES, UNITS, image_sums, mean_figures

OFFSET = 0.99
"""Metres by which DenseMTL's released code falls short when it turns its inverse depth 65536 / (100 d + 1) back into
metres, in labels and predictions alike."""

NEAR, FAR = 1e-3, 80.0
"""Range, in metres after the offset, of the labels that count and of the clamped predictions."""


def range_sums(
    prediction: Tensor,
    target: Tensor,
    *,
    near: float = NEAR,
    far: float = FAR,
    offset: float = 0.0,
    median: bool = False,
) -> dict[str, Tensor]:
    """Sums over images of each image's mean errors, with the predictions clamped to the range of the labels.

    Args:
        prediction: (B, 1, H, W) metres.
        target: (B, 1, H, W) metres, 0 where invalid.
        near: a label must be beyond this, after the offset; more than 0, so that an invalid label never is.
        far: a label must be nearer than this, after the offset.
        offset: metres taken off label and prediction before anything else.
        median: scale each image's prediction by median(label) / median(prediction) over its valid pixels, before the
            clamp. Of an even number of values the median is the lower middle one.

    Returns:
        Scalars. int64: images (with a valid pixel). float64, sums over those images of means over their pixels:
        squared (m^2), rel, sq_rel (m), delta1, delta2, delta3. NaN once a prediction at a valid pixel is not finite,
        or a median of predictions is 0.

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("depth", prediction, target, 1)
    check_finite("depth", target)
    truth, guess = target.double() - offset, prediction.double() - offset
    valid = (truth > near) & (truth < far)
    if median and len(truth):
        ratios = [_ratio(*image) for image in zip(truth, guess, valid, strict=True)]
        guess = guess * torch.stack(ratios).view(-1, 1, 1, 1)
    guess = torch.where(guess.isinf(), math.nan, guess).clamp(near, far)
    sums = image_sums(guess, torch.where(valid, truth, 0.0), floor=None)
    figures, seen = mean_figures(sums), sums["pixels"] > 0
    means = {"squared": figures["rmse"].square()}
    means |= {name: figures[name] for name in ("rel", "sq_rel", "delta1", "delta2", "delta3")}
    return {"images": seen.sum()} | {name: torch.where(seen, mean, 0.0).sum() for name, mean in means.items()}


def _ratio(truth: Tensor, guess: Tensor, valid: Tensor) -> Tensor:
    """Lower median of the label over that of the prediction; NaN without a valid pixel."""
    # Without a dimension, because the median along one has no deterministic kernel on a GPU.
    label, prediction = (torch.where(valid, depth, math.nan).nanmedian() for depth in (truth, guess))
    return label / prediction


def range_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `range_sums`: rmse (metres, root of the mean over images), rel, sq_rel (metres), delta1 to delta3."""
    images = int(sums["images"])
    means = {name: float(value) / images if images else math.nan for name, value in sums.items() if name != "images"}
    return {"rmse": math.sqrt(means.pop("squared"))} | means


class ImageDepth(Metric):
    """`depth/images@1`: rmse in metres, the root of the mean over images of the mean squared error of an image.

    DenseMTL's evaluation (its public reference implementation). The code subtracts 0.99 m from label and prediction
    by a slip in its unit, then evaluates labels between 0.001 and 80 and clamps the prediction to that range. Errors
    do not notice the shift, but the range does: pixels count whose label is beyond 0.991 m and nearer than 80.99 m,
    and predictions are clamped to these. There is no other figure than the rmse, because relative errors and ratios
    of shifted depths mean nothing. An image without a valid pixel is left out.

    Example:
        >>> metric = ImageDepth()
        >>> truth = torch.tensor([[2.0, 3.0, 0.9], [4.0, 0.0, 90.0]]).view(2, 1, 1, 3)
        >>> guess = torch.tensor([[2.0, 5.0, 7.0], [7.0, 5.0, 80.0]]).view(2, 1, 1, 3)
        >>> metric.update(guess, truth)
        >>> round(metric.compute()["rmse"], 4)  # sqrt((4 / 2 + 9) / 2)
        2.3452
    """

    protocol = "depth/images@1"
    better: ClassVar[dict[str, str]] = {"rmse": "lower"}
    units: ClassVar[dict[str, str]] = {"rmse": "m"}
    _median: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._zeros("squared")
        self._zeros("images", dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) predicted and true depth in metres (0 invalid), neither of them shifted."""
        sums = range_sums(prediction, target, offset=OFFSET, median=self._median)
        self._add({name: sums[name] for name in self.state})

    def compute(self) -> dict[str, float]:
        """Figure rmse; NaN without a valid pixel."""
        return range_figures(self.state)


class ImageDepthMedian(ImageDepth):
    """`depth/images-median@1`: `ImageDepth` with each prediction scaled to the median of its label.

    For domain adaptation, where depth is known up to a scale (DenseMTL, App. B.1). The released code shifts both maps
    by 0.99 m before it masks, takes the medians, scales and clamps. So the factor is
    median(d - 0.99) / median(d' - 0.99) over the valid pixels and multiplies d' - 0.99, and the protocol does the
    same. (Its self-supervised training shifts the label alone, which gives other figures and is not offered.) Unlike
    in `ImageDepth` the shift changes the errors here: a prediction that is right up to a scale is not scaled exactly
    onto its label. Of an even number of values the median is the lower middle one.

    Example:
        >>> metric = ImageDepthMedian()
        >>> truth = torch.tensor([1.99, 2.99, 3.99]).view(1, 1, 1, 3)
        >>> metric.update(torch.tensor([2.99, 4.99, 9.99]).view(1, 1, 1, 3), truth)  # twice as far behind 0.99 m
        >>> round(metric.compute()["rmse"], 4)  # sqrt(1.5 ** 2 / 3)
        0.866
    """

    protocol = "depth/images-median@1"
    _median = True


class ImageMeanDepth(Metric):
    """`depth/image-mean@1`: the figures of `PooledDepth` but log10, of each image by itself, and their mean.

    As ASTMT averages its rmse and MTAN all its figures at a batch of one (their public reference implementations);
    labels of 0 are invalid, as in MTAN, and predictions of zero or less become 1e-9, as in ASTMT. ASTMT's own
    log_rmse is a median over images, which is not offered. An image without a valid pixel is left out.

    Example:
        >>> metric = ImageMeanDepth()
        >>> truth = torch.tensor([[2.0, 3.0], [4.0, 0.0]]).view(2, 1, 1, 2)
        >>> metric.update(torch.tensor([[2.0, 5.0], [7.0, 5.0]]).view(2, 1, 1, 2), truth)
        >>> metric.compute()["abs_err"]  # (2 / 2 + 3) / 2
        2.0
    """

    protocol = "depth/image-mean@1"
    better: ClassVar[dict[str, str]] = {name: way for name, way in FIGURES.items() if name != "log10"}
    units: ClassVar[dict[str, str]] = {name: unit for name, unit in UNITS.items() if name != "log10"}

    def __init__(self) -> None:
        super().__init__()
        for name in self.better:
            self._zeros(name)
        self._zeros("images", dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) predicted and true depth in metres (0 invalid)."""
        sums = image_sums(prediction, target)
        figures, seen = mean_figures(sums), sums["pixels"] > 0
        means = {name: torch.where(seen, figures[name], 0.0).sum() for name in self.better}
        self._add(means | {"images": seen.sum()})

    def compute(self) -> dict[str, float]:
        """rmse, abs_err and sq_rel in metres, log_rmse and rel, delta1 to delta3 as fractions; NaN without an image."""
        images = int(self.state["images"])
        return {name: float(self.state[name]) / images if images else math.nan for name in self.better}
