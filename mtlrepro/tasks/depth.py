"""Depth in metres or inverse depth, L1 loss on a linear output (MTI-Net, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib
import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.depth import CappedDepth, InverseDepth, PooledDepth
from mtlrepro.metrics.depth_images import ImageDepth, ImageDepthMedian
from mtlrepro.tasks.base import Task, absolute_error, full_precision, to_picture


class Depth(Task):
    """Metres along the optical axis, or inverse depth without unit if `info.inverse_depth`; 0 invalid."""

    name = "depth"
    main_metric = "rmse"
    LOSSES = {"l1": absolute_error}

    @property
    def channels(self) -> int:
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

    def decode(self, prediction: Tensor) -> Tensor:
        """(B, 1, H, W) depth in the label's unit, as the network gives it, in float32 at least."""
        return full_precision(prediction)

    def metrics(self) -> list[Metric]:
        """Depth errors, pooled as most papers have them first; inverse depth, which has no metres, has but its own."""
        if self.info.inverse_depth:
            return [InverseDepth()]
        return [PooledDepth(), CappedDepth(), ImageDepth(), ImageDepthMedian()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """Mean depth of the valid training pixels, the constant of least rmse; (1, 1, 1, 1) float32."""
        total, pixels = 0.0, 0
        for label in labels:
            valid = label > 0
            total += float(label[valid].double().sum())
            pixels += int(valid.sum())
        if not pixels:
            raise DataError("no valid pixel in the training set", field=self.name)
        return torch.full((1, 1, 1, 1), total / pixels)

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Viridis from 0 (dark) to `info.max_depth` (bright); zero and below, the invalid labels, are black."""
        depth = decoded[0].detach().cpu().double()
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]
        level = (depth / self.info.max_depth).nan_to_num(0.0).clamp(0, 1).mul(255).round().long()
        colour = torch.from_numpy(colours)[level].movedim(-1, 0)
        return to_picture(torch.where(depth > 0, colour, 0.0))

    def zoom_values(self, label: Tensor, scale: float) -> Tensor:
        """Depth divided by the zoom: what looks `scale` times larger is that much nearer (MTI-Net, App. A).

        So is inverse depth, which should grow instead: the public reference implementation of JTR trains with that.
        """
        return label / scale
