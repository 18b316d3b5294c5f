"""Angular error of surface normals, pooled over the valid pixels of the data set (Fouhey et al., ICCV 2013, sec. 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.metrics.base import Metric, check_finite, check_pair

LIMITS = {"within_11": 11.25, "within_22": 22.5, "within_30": 30.0}
"""Figure name -> angle in degrees; the comparison is strict."""


def angle_degrees(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Angle between vectors along `dim`, in degrees, float64, 0 to 180.

    2 atan2(|u - v|, |u + v|) of the unit vectors u, v: well conditioned at every angle, where the arc cosine of
    the dot product loses half the digits near 0. A zero vector is at 90 degrees to everything.

    Example:
        >>> x, y = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
        >>> round(float(angle_degrees(x, y, 0)), 6)
        45.0
    """
    u, v = F.normalize(a.double(), dim=dim), F.normalize(b.double(), dim=dim)
    half = torch.atan2(torch.linalg.vector_norm(u - v, dim=dim), torch.linalg.vector_norm(u + v, dim=dim))
    return torch.rad2deg(2 * half)


def normal_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Sums of the angular error over the valid pixels (target vector not zero).

    Args:
        prediction: (B, 3, H, W), any length.
        target: (B, 3, H, W), (0, 0, 0) where invalid.

    Returns:
        float64 scalars angle (degrees) and squared (degrees^2); int64 scalars pixels, non_finite (predictions)
        and within_11, within_22, within_30.

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("normals", prediction, target, 3)
    check_finite("normals", target)
    valid = (target != 0).any(dim=1)
    guess, truth = prediction.movedim(1, -1)[valid], target.movedim(1, -1)[valid]
    angle = angle_degrees(guess, truth, -1)
    sums = {
        "angle": angle.sum(),
        "squared": angle.square().sum(),
        "pixels": valid.sum(),
        "non_finite": (~torch.isfinite(guess)).any(-1).sum(),
    }
    return sums | {name: (angle < limit).sum() for name, limit in LIMITS.items()}


def normal_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `normal_sums`; all NaN without a valid pixel or with a non-finite prediction at one."""
    pixels = int(sums["pixels"])
    if not pixels or int(sums["non_finite"]):
        return dict.fromkeys(PooledNormals.better, math.nan)
    figures = {"mean": float(sums["angle"]) / pixels, "rmse": math.sqrt(float(sums["squared"]) / pixels)}
    return figures | {name: 100 * int(sums[name]) / pixels for name in LIMITS}


class PooledNormals(Metric):
    """`normals/pooled@1`: mean and rmse of the angle in degrees, and percent of pixels below 11.25, 22.5, 30 degrees.

    No median: it is not a function of sums.

    Example:
        >>> metric = PooledNormals()
        >>> truth = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1)
        >>> metric.update(torch.tensor([0.0, -1.0, -1.0]).view(1, 3, 1, 1), truth)
        >>> round(metric.compute()["mean"], 6), metric.compute()["within_30"]
        (45.0, 0.0)
    """

    protocol = "normals/pooled@1"
    better: ClassVar[dict[str, str]] = {"mean": "lower", "rmse": "lower"} | dict.fromkeys(LIMITS, "higher")

    def __init__(self) -> None:
        super().__init__()
        for name in ("angle", "squared"):
            self._zeros(name)
        for name in ("pixels", "non_finite", *LIMITS):
            self._zeros(name, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 3, H, W) predicted and true normals ((0, 0, 0) invalid)."""
        self._add(normal_sums(prediction, target))

    def compute(self) -> dict[str, float]:
        """The five figures; NaN without a valid pixel."""
        return normal_figures(self.state)
