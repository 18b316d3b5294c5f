"""Depth errors pooled over the valid pixels of the data set (Eigen et al., NIPS 2014, sec. 4.3; MTI-Net, sec. 3.1).

One core serves the protocols here and those of `mtlrepro.metrics.depth_images`; they differ in which labels count, in
what becomes of a prediction of zero or less, and in where the mean over pixels ends.
"""

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

CAP = 6.5535
"""Metres from which on MT-CP ignores a label, 65535 steps of 0.1 mm."""

FIGURES = {
    "rmse": "lower",
    "log_rmse": "lower",
    "abs_err": "lower",
    "rel": "lower",
    "sq_rel": "lower",
    "log10": "lower",
    "delta1": "higher",
    "delta2": "higher",
    "delta3": "higher",
}
"""The figures of `depth_figures` and their directions."""

UNITS = dict.fromkeys(("rmse", "abs_err", "sq_rel"), "m") | dict.fromkeys(("log_rmse", "rel", "log10"), "")
"""Units of those that are not fractions."""

_FLOATS = ("squared", "log_squared", "absolute", "relative", "squared_relative", "log10")
_COUNTS = ("pixels", "non_finite", "below1", "below2", "below3")


def image_sums(
    prediction: Tensor, target: Tensor, *, near: float = 0.0, far: float = math.inf, floor: float | None = FLOOR
) -> dict[str, Tensor]:
    """Error sums of each image over its valid pixels, near < target < far.

    Args:
        prediction: (B, 1, H, W) metres.
        target: (B, 1, H, W) metres, 0 where invalid.
        near: a label must be beyond this, 0 or more.
        far: a label must be nearer than this; compared, as `near` is, in the label's own precision.
        floor: what predictions <= 0 become; None leaves them, so that a negative one makes the logarithmic figures
            NaN and never counts as within a ratio.

    Returns:
        Tensors (B,). float64: squared (m^2), log_squared (natural logarithm), absolute (m), relative,
        squared_relative (m), log10. int64: pixels, non_finite (predictions) and below1, below2, below3 (pixels whose
        ratio is below 1.25^k).

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("depth", prediction, target, 1)
    check_finite("depth", target)
    valid = (target > near) & (target < far)
    # Invalid pixels become a perfect 1: selecting the valid ones takes ten times as long on a CPU. Each map is summed
    # before the next one is made, for it is fresh memory that takes the time.
    truth, guess = (torch.where(valid, depth, 1).double() for depth in (target, prediction))
    if floor is not None:
        guess = torch.where((guess <= 0) & (guess > -math.inf), floor, guess)
    error = (guess - truth).abs_()
    sums = {"pixels": _total(valid), "non_finite": _total(~(error < math.inf)), "absolute": _total(error)}
    sums["squared"] = _total(error.square())
    sums["squared_relative"] = _total(error.square().div_(truth))
    sums["relative"] = _total(error.div_(truth))
    ratio = guess / truth
    log = ratio.log()
    sums["log10"] = _total(log.abs()) / math.log(10)
    sums["log_squared"] = _total(log.square_())
    within = valid & (guess > 0)
    ratio = torch.maximum(ratio, truth.div_(guess))
    return sums | {f"below{k}": _total(within & (ratio < 1.25**k)) for k in (1, 2, 3)}


def _total(pixels: Tensor) -> Tensor:
    return pixels.flatten(1).sum(1)


def depth_sums(
    prediction: Tensor, target: Tensor, *, near: float = 0.0, far: float = math.inf, floor: float | None = FLOOR
) -> dict[str, Tensor]:
    """`image_sums` of a batch added up: scalars, in float64 and int64. Arguments, units and errors as there."""
    return {
        name: value.sum() for name, value in image_sums(prediction, target, near=near, far=far, floor=floor).items()
    }


def mean_figures(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Figures of `image_sums` or `depth_sums`, float64 tensors of the sums' shape; one square root at the very end.

    NaN without a valid pixel. A non-finite prediction at a valid pixel makes every figure NaN, the delta accuracies
    included: a broken prediction is never dropped silently.
    """
    sound = (sums["pixels"] > 0) & (sums["non_finite"] == 0)
    mean = {name: torch.where(sound, value / sums["pixels"].double(), math.nan) for name, value in sums.items()}
    return {
        "rmse": mean["squared"].sqrt(),
        "log_rmse": mean["log_squared"].sqrt(),
        "abs_err": mean["absolute"],
        "rel": mean["relative"],
        "sq_rel": mean["squared_relative"],
        "log10": mean["log10"],
        "delta1": mean["below1"],
        "delta2": mean["below2"],
        "delta3": mean["below3"],
    }


def depth_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """`mean_figures` of `depth_sums` as numbers: rmse, abs_err and sq_rel in metres, the rest without unit."""
    return {name: float(value) for name, value in mean_figures(sums).items()}


class PooledDepth(Metric):
    """`depth/pooled@1`: rmse, abs_err and sq_rel in metres, log_rmse, log10, rel, delta1 to delta3 as fractions.

    All valid pixels of the data set weigh the same (public reference implementations of MTI-Net, InvPT and JTR).

    Example:
        >>> metric = PooledDepth()
        >>> metric.update(torch.tensor([[[[2.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 3.0, 0.0]]]]))
        >>> figures = metric.compute()
        >>> round(figures["rmse"], 4), figures["rel"], figures["sq_rel"], figures["delta1"]
        (0.7071, 0.5, 0.5, 0.5)
    """

    protocol = "depth/pooled@1"
    better: ClassVar[dict[str, str]] = FIGURES
    units: ClassVar[dict[str, str]] = UNITS
    _far: ClassVar[float] = math.inf

    def __init__(self) -> None:
        super().__init__()
        for name in _FLOATS:
            self._zeros(name)
        for name in _COUNTS:
            self._zeros(name, dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) predicted and true depth in metres (0 invalid)."""
        self._add(depth_sums(prediction, target, far=self._far))

    def compute(self) -> dict[str, float]:
        """The figures that `better` lists; NaN without a valid pixel."""
        figures = depth_figures(self.state)
        return {name: figures[name] for name in self.better}


class CappedDepth(PooledDepth):
    """`depth/cap655@1`: `PooledDepth` over the pixels whose label is nearer than 6.5535 m; predictions are not capped.

    MT-CP's public reference implementation evaluates so. Its rmse is well below the uncapped one wherever scenes are
    deeper, and not comparable with it.

    Example:
        >>> metric = CappedDepth()
        >>> metric.update(torch.tensor([[[[2.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 3.0, 6.5535]]]]))
        >>> metric.compute()["abs_err"]
        0.5
    """

    protocol = "depth/cap655@1"
    _far = CAP


class InverseDepth(PooledDepth):
    """`depth/inverse@1`: abs_err and rmse of inverse depth, without unit, pooled over the pixels whose label is not 0.

    The depth of Cityscapes in JTR and MTPSL (their public reference implementations), which is akin to a disparity.
    Tensors hold inverse depth where the other protocols have metres; predictions of zero or less become 1e-9.

    Example:
        >>> metric = InverseDepth()
        >>> metric.update(torch.tensor([[[[0.3, 0.1, 0.7]]]]), torch.tensor([[[[0.2, 0.1, 0.0]]]]))
        >>> {name: round(value, 4) for name, value in metric.compute().items()}
        {'rmse': 0.0707, 'abs_err': 0.05}
    """

    protocol = "depth/inverse@1"
    better: ClassVar[dict[str, str]] = {name: FIGURES[name] for name in ("rmse", "abs_err")}
    units: ClassVar[dict[str, str]] = {"rmse": "", "abs_err": ""}
