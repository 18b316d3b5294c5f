"""Depth in metres, L1 loss on a linear output (MTI-Net, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib
import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.depth import CappedDepth, PooledDepth
from mtlrepro.metrics.depth_images import ImageDepth, ImageDepthMedian
from mtlrepro.tasks.base import Task, full_precision, masked_mean, to_picture


class Depth(Task):
    """Metres along the optical axis, 0 invalid."""

    name = "depth"
    main_metric = "rmse"

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

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error in metres over the valid pixels."""
        self._check_loss(prediction, target)
        return masked_mean((full_precision(prediction) - target).abs(), target > 0)

    def decode(self, prediction: Tensor) -> Tensor:
        """(B, 1, H, W) metres, as the network gives them, in float32 at least."""
        return full_precision(prediction)

    def metrics(self) -> list[Metric]:
        """Depth errors, pooled as most papers have them first."""
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
        metres = decoded[0].detach().cpu().double()
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]
        level = (metres / self.info.max_depth).nan_to_num(0.0).clamp(0, 1).mul(255).round().long()
        colour = torch.from_numpy(colours)[level].movedim(-1, 0)
        return to_picture(torch.where(metres > 0, colour, 0.0))

    def zoom_values(self, label: Tensor, scale: float) -> Tensor:
        """Depth divided by the zoom: what looks `scale` times larger is that much nearer (MTI-Net, App. A)."""
        return label / scale
