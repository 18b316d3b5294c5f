"""Depth in metres or inverse depth: L1 loss on a linear output (MTI-Net, sec. 3.1), over all labels or, as in MT-CP's
public reference implementation, over the near ones; and DenseMTL's losses.

Labels, metrics and pictures are in metres whatever the loss; what a network's raw output is goes with the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import matplotlib
import numpy as np
import torch
from torch import Tensor

from mtlrepro import collective
from mtlrepro.data.surface import EVALUATED, INVERSE_RANGE, inverse_normalised
from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.depth import CAP, CappedDepth, InverseDepth, PooledDepth
from mtlrepro.metrics.depth_images import ImageDepth, ImageDepthMedian
from mtlrepro.tasks.base import Loss, Task, absolute_error, average_values, full_precision, to_picture

THRESHOLD = 0.2
"""From this share of the largest error on, the berHu loss is a parabola."""

NEAREST, FARTHEST = 0.001, 655.35
"""Metres that decoded inverse-normalised depth is clamped to: the range of labels, z = 1 being their sky. Protocols
that clamp predictions at 80 m do so themselves, and some scale them before."""

DISPARITY = (0.1, 100.0)
"""Nearest and farthest metres that a disparity of 1 and of 0 stand for."""


def near_pixels(target: Tensor, valid: Tensor) -> Tensor:
    """Valid pixels whose label is nearer than `CAP` metres; compared in the label's own precision, as metrics do."""
    return valid & (target < CAP)


def near_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|d̂ - d| in metres where the label is nearer than 6.5535 m, 0 elsewhere; an `ElementwiseLoss`.

    The public reference implementation of MT-CP trains and evaluates (`depth/cap655@1`) without what is farther; the
    paper (sec. 4.2) speaks of an L1 loss and of no limit.
    """
    return absolute_error(prediction, target, near_pixels(target, valid))


def inverse_berhu(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The reverse Huber loss of inverse-normalised depth z (`inverse_normalised`); an `ElementwiseLoss`.

    a = |ẑ - z| where a ≤ c, else (a² + c²) / (2c), with c = 0.2 max(a) over the whole batch, without gradient (Laina
    et al., 3DV 2016; its form on z from the public reference implementation of DenseMTL, where the paper's d_far / d
    lacks one centimetre). Labels at any distance count, the sky among them.
    """
    error = torch.where(valid, prediction - inverse_normalised(target), 0.0).abs()
    largest = error.detach().amax() if error.numel() else error.new_zeros(())
    # Without any error both cases are 0; the bound keeps 0 / 0 out of the gradient.
    c = (THRESHOLD * collective.greatest(largest)).clamp_min(torch.finfo(error.dtype).tiny)
    return torch.where(error <= c, error, (error.square() + c * c) / (2 * c))


def metres_of_inverse(prediction: Tensor) -> Tensor:
    """Inverse-normalised depth ẑ, unbounded, to metres: 655.36 / ẑ - 0.01, between 0.001 and 655.35.

    A negative ẑ stands for no depth; it becomes 0.001, as in the public reference implementation.
    """
    return (INVERSE_RANGE / 100 / prediction - 0.01).clamp(NEAREST, FARTHEST)


def metres_of_disparity(prediction: Tensor) -> Tensor:
    """Disparity σ in (0, 1) to metres: 1 / (1/100 + (1/0.1 - 1/100) σ) (Godard et al., ICCV 2019, sec. 3.3)."""
    near, far = DISPARITY
    return 1 / (1 / far + (1 / near - 1 / far) * prediction)


def disparity_of_metres(metres: Tensor) -> Tensor:
    """The inverse of `metres_of_disparity`."""
    near, far = DISPARITY
    return (1 / metres - 1 / far) / (1 / near - 1 / far)


def disparity_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|d̂ - d| in metres of a disparity; an `ElementwiseLoss`."""
    return absolute_error(metres_of_disparity(prediction), target, valid)


def everything(target: Tensor, valid: Tensor) -> Tensor:
    """Invalid pixels count, too, in the mean that the public reference implementation of DenseMTL takes."""
    return torch.ones_like(valid)


def average_metres(
    decode: Callable[[Tensor], Tensor], encode: Callable[[Tensor], Tensor]
) -> Callable[[Sequence[Tensor]], Tensor]:
    """`Loss.average` of outputs that `decode` brings to metres, and `encode` back from there."""
    return lambda predictions: encode(average_values([decode(raw) for raw in predictions]))


UNIT = 64.0


def inverse_berhu_64(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """`inverse_berhu` of 64 times the network's output: labels of 1 to 650 are nearer then for a short training."""
    return inverse_berhu(UNIT * prediction, target, valid)


def metres_of_inverse_64(prediction: Tensor) -> Tensor:
    """`metres_of_inverse` of 64 times the network's output."""
    return metres_of_inverse(UNIT * prediction)


class Depth(Task):
    """Metres along the optical axis, or inverse depth without unit if `info.inverse_depth`; 0 invalid."""

    name = "depth"
    main_metric = "rmse"
    LOSSES = {
        "l1": Loss(absolute_error),
        "l1_near": Loss(near_error, near_pixels),
        "inverse_berhu": Loss(
            inverse_berhu,
            everything,
            decode=metres_of_inverse,
            average=average_metres(metres_of_inverse, inverse_normalised),
        ),
        "inverse_berhu_64": Loss(
            inverse_berhu_64,
            everything,
            decode=metres_of_inverse_64,
            average=average_metres(metres_of_inverse_64, lambda metres: inverse_normalised(metres) / UNIT),
        ),
        "disparity": Loss(
            disparity_error,
            decode=metres_of_disparity,
            average=average_metres(metres_of_disparity, disparity_of_metres),
        ),
    }

    def using(self, loss: str) -> Self:
        """The same task with another of its `LOSSES`.

        Raises:
            SpecError: on an unknown loss, or one on metres where labels are inverse depth.
        """
        task = super().using(loss)
        if self.info.inverse_depth and loss != "l1":  # the only one without a unit
            problem = f"loss {loss!r} is of metres, and the labels of {self.info.name!r} are inverse depth"
            raise SpecError(problem, field=f"objective.losses.{self.name}", mend="Use 'l1'")
        return task

    @property
    def usual_channels(self) -> int:
        """One."""
        return 1

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) float32 to (1, H, W)."""
        self._check_label(label, torch.float32, "(H, W)")
        if not bool((torch.isfinite(label) & (label >= 0)).all()):
            raise DataError("label holds a negative or non-finite depth", field=self.name, mend="Invalid pixels are 0")
        return label.unsqueeze(0)

    def valid(self, target: Tensor) -> Tensor:
        """Where depth is above 0."""
        return target > 0

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All 0."""
        return torch.zeros(size)

    def usual_decode(self, prediction: Tensor) -> Tensor:
        """(B, 1, H, W) depth in the label's unit, as the network gives it, in float32 at least."""
        return full_precision(prediction)

    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """The mean, in the label's unit."""
        return average_values(predictions)

    def metrics(self) -> list[Metric]:
        """Depth errors, pooled as most papers have them first; inverse depth, which has no metres, has but its own."""
        if self.info.inverse_depth:
            return [InverseDepth()]
        return [PooledDepth(), CappedDepth(), ImageDepth(), ImageDepthMedian()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """Mean depth of the valid training pixels, the constant of least rmse; (1, 1, 1, 1) float32.

        What is at 80 m or beyond is left out, unless there is nothing else: some protocols ignore it, and the sky of
        rendered scenes, at 655.35 m, would make the mean useless to these.
        """
        limit = math.inf if self.info.inverse_depth else EVALUATED[1]
        totals, pixels = [0.0, 0.0], [0, 0]
        for label in labels:
            valid = label[label > 0].double()
            for i, values in enumerate((valid[valid < limit], valid[valid >= limit])):
                totals[i] += float(values.sum())
                pixels[i] += len(values)
        if not any(pixels):
            raise DataError("no valid pixel in the training set", field=self.name)
        part = 0 if pixels[0] else 1
        return torch.full((1, 1, 1, 1), totals[part] / pixels[part])

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Viridis from 0 (dark) to `info.max_depth` (bright); zero and below, the invalid labels, are black."""
        depth = decoded[0].detach().cpu().double()
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]
        level = (depth / self.info.max_depth).nan_to_num(0.0).clamp(0, 1).mul(255).round().long()
        colour = torch.from_numpy(colours)[level].movedim(-1, 0)
        return to_picture(torch.where(depth > 0, colour, 0.0))

    def zoom_values(self, label: Tensor, scale: float | Tensor) -> Tensor:
        """Depth divided by the zoom: what looks `scale` times larger is that much nearer (MTI-Net, App. A).

        So is inverse depth, which should grow instead: the public reference implementation of JTR trains with that.
        """
        return label / scale
