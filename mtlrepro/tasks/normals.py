"""Surface normals, L1 loss on the normalised output (MTI-Net, sec. 3.1) or one minus the cosine (JTR, sec. 4.1).

The L1 loss is a mean over components in MTI-Net's public reference implementation, and over pixels, three times as
much, in those of ATRC and InvPT and so of the 3D-aware regularizer; all of them weigh it by 10. MT-CP (sec. 4.2) has
the L1 loss on the normalised output, too; its public reference implementation has the squared error of the raw one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.normals import PooledNormals
from mtlrepro.metrics.normals_columns import ColumnNormals
from mtlrepro.tasks.base import Loss, Task, absolute_error, average_values, full_precision, to_picture

EPS = 1e-12
"""Length below which a predicted vector is not stretched to unit length."""


def unit_vectors(raw: Tensor) -> Tensor:
    """(B, 3, H, W) vectors at unit length; shorter than 1e-12, they are only stretched by 1e12."""
    # The same as F.normalize, whose norm over a strided axis takes ten times as long on a CPU.
    return raw * raw.square().sum(1, keepdim=True).clamp_min(EPS**2).rsqrt()


def vector_error(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|n̂ - n| of every component of the normalised prediction, three values a pixel; an `ElementwiseLoss`."""
    return absolute_error(unit_vectors(raw), target, valid)


def summed_error(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|n̂ - n| summed over the components of the normalised prediction, one value a pixel; an `ElementwiseLoss`."""
    return vector_error(raw, target, valid).sum(1, keepdim=True)


def cosine_error(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 - n̂·n of the normalised prediction, 0 to 2, one value a pixel; an `ElementwiseLoss`."""
    return torch.where(valid, 1 - (unit_vectors(raw) * target).sum(1, keepdim=True), 0.0)


def squared_error(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """(x - n)² of every component of the raw prediction x, not normalised, three values a pixel; an `ElementwiseLoss`.

    The public reference implementation of MT-CP trains final predictions so.
    """
    return torch.where(valid, raw - target, 0.0).square()


class Normals(Task):
    """Unit vectors in the camera frame, (0, 0, 0) invalid.

    x is right and y down. In most datasets z is forward, so that z of what faces the camera is negative; where a reader
    derives labels from depth (`mtlrepro.data.surface`), z is towards the camera and never negative. Losses, metrics and
    mirroring are the same for both, but figures of one cannot be compared with those of the other.

    Labels are interpolated and scaled back to unit length; a pixel is invalid where its nearest source pixel is.
    """

    name = "normals"
    resampling = "bilinear"
    main_metric = "mean"
    LOSSES = {
        "l1": Loss(vector_error),
        "cosine": Loss(cosine_error),
        "l1_sum": Loss(summed_error),
        "squared": Loss(squared_error),
    }

    @property
    def usual_channels(self) -> int:
        """Three components."""
        return 3

    def collate(self, label: Tensor) -> Tensor:
        """(3, H, W) float32 as it is; vectors must be of length 1 (to 1 percent) or 0."""
        self._check_label(label, torch.float32, "(3, H, W)")
        x, y, z = label
        square = (x * x).addcmul_(y, y).addcmul_(z, z)  # a norm along the first axis takes 40 times as long
        if not bool((((square - 1).abs() < 0.02) | (square == 0)).all()):
            raise DataError(
                "label holds a vector that is neither unit nor zero",
                field=self.name,
                mend="Normalise valid vectors; invalid ones are (0, 0, 0)",
            )
        return label

    def valid(self, target: Tensor) -> Tensor:
        """Where the label is not (0, 0, 0)."""
        return (target != 0).any(dim=1, keepdim=True)

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """Zero vectors."""
        return torch.zeros(3, *size)

    def usual_decode(self, prediction: Tensor) -> Tensor:
        """(B, 3, H, W) unit vectors."""
        return unit_vectors(full_precision(prediction))

    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """The mean of the unit vectors; it is shorter than 1 where they differ."""
        return average_values([unit_vectors(raw) for raw in predictions])

    def metrics(self) -> list[Metric]:
        """Angular errors, pooled first."""
        return [PooledNormals(), ColumnNormals()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """Direction of the mean training normal, (1, 3, 1, 1) float32; towards the camera if the mean vanishes."""
        total, pixels = torch.zeros(3, dtype=torch.float64), 0
        for label in labels:
            total += label.double().sum(dim=(1, 2)).cpu()
            pixels += int((label != 0).any(dim=0).sum())
        if not pixels:
            raise DataError("no valid pixel in the training set", field=self.name)
        if not total.any():
            total = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
        return F.normalize(total, dim=0).float().view(1, 3, 1, 1)

    def picture(self, decoded: Tensor) -> np.ndarray:
        """(n + 1) / 2 as red, green, blue; invalid (zero) vectors are black."""
        return to_picture(torch.where((decoded != 0).any(dim=0), (decoded + 1) / 2, 0.0))

    def mirror_values(self, label: Tensor) -> Tensor:
        """(..., 3, H, W) with the x component negated."""
        x, rest = label.tensor_split((1,), -3)
        return torch.cat([-x, rest], -3)  # signs in a tensor would be copied to the device every time
