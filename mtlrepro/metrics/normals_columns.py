"""The formula that DenseMTL's released code evaluates under the name of an angular error of surface normals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.metrics.base import Metric, check_finite, check_pair
from mtlrepro.metrics.normals import LIMITS, UNITS


def column_angles(prediction: Tensor, target: Tensor) -> Tensor:
    """2 atan2(|p - t|, |p + t|) of the columns of each component's map, in degrees.

    p and t are the vectors of H numbers that one component (x, y or z) takes down one column of the image.

    Args:
        prediction: (B, 3, H, W), taken as it is.
        target: (B, 3, H, W); invalid pixels, (0, 0, 0), take part like any other.

    Returns:
        (B, 3, W) float64; NaN where a column of the prediction is not finite.

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("normals", prediction, target, 3)
    check_finite("normals", target)
    near, far = (torch.zeros_like(target[:, :, 0], dtype=torch.float64) for _ in range(2))
    for p, t in zip(prediction.split(64, dim=2), target.split(64, dim=2), strict=True):  # strips fit the cache
        p, t = p.double(), t.double()
        near += (p - t).square_().sum(2)
        far += (p + t).square_().sum(2)
    angle = torch.atan2(near.sqrt(), far.sqrt()) * (360 / math.pi)
    return torch.where(near < math.inf, angle, math.nan)  # infinity over infinity would pass for 45 degrees


def column_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Sums over images of each image's figures over its 3 W values; arguments and errors of `column_angles`.

    Returns:
        int64 scalars images and non_finite (values); float64 scalars mean and median (degrees; of an even number of
        values the lower middle one), squared (mean of squares, degrees^2), within_11, within_22, within_30 (fractions).
    """
    angle = column_angles(prediction, target).flatten(1)
    sums = {
        "images": torch.tensor(angle.shape[0], device=angle.device),
        "non_finite": angle.isnan().sum(),
        "mean": angle.mean(1).sum(),
        "median": sum((image.median() for image in angle), angle.new_zeros(())),
        "squared": angle.square().mean(1).sum(),
    }
    return sums | {name: (angle < limit).double().mean(1).sum() for name, limit in LIMITS.items()}


def column_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `column_sums`; all NaN without an image or with a non-finite prediction."""
    images = int(sums["images"])
    if not images or int(sums["non_finite"]):
        return dict.fromkeys(ColumnNormals.better, math.nan)
    mean = {name: float(value) / images for name, value in sums.items()}
    figures = {"mean": mean["mean"], "median": mean["median"], "rmse": math.sqrt(mean["squared"])}
    return figures | {name: 100 * mean[name] for name in LIMITS}


class ColumnNormals(Metric):
    """`normals/columns@1`: mean, median and rmse in degrees, percent below 11.25, 22.5 and 30, averaged over images.

    This is not the angular error of the normals, and it is larger: often by a tenth, at times by a half, and by more
    with invalid pixels. DenseMTL's released code (its public reference implementation) drops the batch axis and then
    takes norms along what has become the image's rows instead of the three components, so it compares columns of
    single components, pixels without a label included. The protocol exists because the printed mErr of DenseMTL are
    of the size that this formula gives, and for nothing else; the error itself is `normals/pooled@1`, which is what
    the paper describes.

    No mask is used, so a prediction must be finite everywhere, or every figure is NaN. The length of the predicted
    vectors matters: the released code normalises them on NYUDv2 alone.

    Example:
        >>> metric = ColumnNormals()
        >>> truth = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
        >>> metric.update(torch.tensor([0.0, 0.6, 0.8]).view(1, 3, 1, 1), truth)
        >>> figures = metric.compute()  # 0 from x, 90 from y, 2 atan2(0.2, 1.8) from z; the true angle is 36.87
        >>> round(figures["mean"], 4), round(figures["median"], 4)
        (34.2268, 12.6804)
    """

    protocol = "normals/columns@1"
    better: ClassVar[dict[str, str]] = dict.fromkeys(("mean", "median", "rmse"), "lower") | dict.fromkeys(
        LIMITS, "higher"
    )
    units: ClassVar[dict[str, str]] = UNITS

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean", "median", "squared", *LIMITS):
            self._zeros(name)
        for name in ("images", "non_finite"):
            self._zeros(name, dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 3, H, W) predicted and true normals; (0, 0, 0) is not left out."""
        self._add(column_sums(prediction, target))

    def compute(self) -> dict[str, float]:
        """The six figures; NaN without an image."""
        return column_figures(self.state)
