"""Absolute error of a one-channel map: Taskonomy's occlusion edges, reshading, keypoints and texture edges.

JTR (Nishi et al., CVPR 2024, sec. 4.1) reports the mean absolute error of each of these standardised maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric, check_pair


def absolute_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Error sums over the valid pixels (target not NaN; 0 is a value like any other).

    Args:
        prediction: (B, 1, H, W), in the target's unit.
        target: (B, 1, H, W), NaN where invalid.

    Returns:
        float64 scalars absolute and squared; int64 scalars pixels and non_finite (predictions).

    Raises:
        SpecError: on a shape mismatch.
        DataError: on an infinite label.
    """
    check_pair("map", prediction, target, 1)
    if bool(target.isinf().any()):
        raise DataError("label holds infinity", field="map", mend="Invalid pixels are NaN")
    valid = ~target.isnan()
    guess, truth = (torch.where(valid, x, 0.0).double() for x in (prediction, target))
    error = guess.sub_(truth).abs_()
    return {
        "absolute": error.sum(),
        "squared": error.square().sum(),
        "pixels": valid.sum(),
        "non_finite": (~(error < math.inf)).sum(),
    }


def absolute_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `absolute_sums`; NaN without a valid pixel or with a non-finite prediction at one."""
    pixels = int(sums["pixels"])
    if not pixels or int(sums["non_finite"]):
        return dict.fromkeys(AbsoluteError.better, math.nan)
    return {"abs_err": float(sums["absolute"]) / pixels, "rmse": math.sqrt(float(sums["squared"]) / pixels)}


class AbsoluteError(Metric):
    """`errors/l1@1`: mean absolute error and rmse over all valid pixels of the data set, in the map's own unit.

    Example:
        >>> metric = AbsoluteError()
        >>> metric.update(torch.tensor([[[[0.5, -1.0, 3.0]]]]), torch.tensor([[[[0.0, -2.0, math.nan]]]]))
        >>> {name: round(value, 4) for name, value in metric.compute().items()}
        {'abs_err': 0.75, 'rmse': 0.7906}
    """

    protocol = "errors/l1@1"
    better: ClassVar[dict[str, str]] = {"abs_err": "lower", "rmse": "lower"}
    units: ClassVar[dict[str, str]] = {"abs_err": "", "rmse": ""}

    def __init__(self) -> None:
        super().__init__()
        for name in ("absolute", "squared"):
            self._zeros(name)
        for name in ("pixels", "non_finite"):
            self._zeros(name, dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) predictions and labels (NaN invalid)."""
        self._add(absolute_sums(prediction, target))

    def compute(self) -> dict[str, float]:
        """Figures abs_err and rmse; NaN without a valid pixel."""
        return absolute_figures(self.state)
