"""Depth errors pooled over the valid pixels of the data set (Eigen et al., NIPS 2014, sec. 4.3; MTI-Net, sec. 3.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.metrics.base import Metric, check_finite, check_pair

FLOOR = 1e-9
"""What a prediction of zero or less becomes, as in the public reference implementation: relative and logarithmic
errors stay finite, and heavy."""

_FLOATS = ("squared", "log_squared", "absolute", "relative")
_COUNTS = ("pixels", "non_finite", "below1", "below2", "below3")


def depth_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Error sums over the valid pixels (target > 0).

    Args:
        prediction: (B, 1, H, W) metres; values <= 0 become 1e-9.
        target: (B, 1, H, W) metres, 0 where invalid.

    Returns:
        float64 scalars squared (m^2), log_squared (natural logarithm), absolute (m), relative; int64 scalars
        pixels, non_finite (predictions) and below1, below2, below3 (pixels whose ratio is below 1.25^k).

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("depth", prediction, target, 1)
    check_finite("depth", target)
    valid = target > 0
    truth, guess = target[valid].double(), prediction[valid].double()
    guess = torch.where(guess <= 0, FLOOR, guess)
    error = (guess - truth).abs()
    ratio = torch.maximum(guess / truth, truth / guess)
    return {
        "squared": error.square().sum(),
        "log_squared": (guess.log() - truth.log()).square().sum(),
        "absolute": error.sum(),
        "relative": (error / truth).sum(),
        "pixels": valid.sum(),
        "non_finite": (~torch.isfinite(guess)).sum(),
        "below1": (ratio < 1.25).sum(),
        "below2": (ratio < 1.25**2).sum(),
        "below3": (ratio < 1.25**3).sum(),
    }


def depth_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `depth_sums`, one square root at the very end; all NaN without a valid pixel.

    A non-finite prediction at a valid pixel makes every figure NaN, the delta accuracies included: a broken
    prediction is never dropped silently.
    """
    pixels = int(sums["pixels"])
    if not pixels or int(sums["non_finite"]):
        return dict.fromkeys(PooledDepth.better, math.nan)
    mean = {name: float(value) / pixels for name, value in sums.items()}
    return {
        "rmse": math.sqrt(mean["squared"]),
        "log_rmse": math.sqrt(mean["log_squared"]),
        "abs_err": mean["absolute"],
        "rel": mean["relative"],
        "delta1": mean["below1"],
        "delta2": mean["below2"],
        "delta3": mean["below3"],
    }


class PooledDepth(Metric):
    """`depth/pooled@1`: rmse and abs_err in metres, log_rmse, rel, and delta1 to delta3 as fractions.

    Example:
        >>> metric = PooledDepth()
        >>> metric.update(torch.tensor([[[[2.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 3.0, 0.0]]]]))
        >>> figures = metric.compute()
        >>> round(figures["rmse"], 4), figures["rel"], figures["delta1"]
        (0.7071, 0.5, 0.5)
    """

    protocol = "depth/pooled@1"
    better: ClassVar[dict[str, str]] = {
        "rmse": "lower",
        "log_rmse": "lower",
        "abs_err": "lower",
        "rel": "lower",
        "delta1": "higher",
        "delta2": "higher",
        "delta3": "higher",
    }

    def __init__(self) -> None:
        super().__init__()
        for name in _FLOATS:
            self._zeros(name)
        for name in _COUNTS:
            self._zeros(name, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) predicted and true depth in metres (0 invalid)."""
        self._add(depth_sums(prediction, target))

    def compute(self) -> dict[str, float]:
        """The seven figures; NaN without a valid pixel."""
        return depth_figures(self.state)
