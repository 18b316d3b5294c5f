"""Standardised one-channel maps: the four tasks of Taskonomy beyond the usual ones, L1 loss (JTR, sec. 4.1).

Each is a dense real-valued map that its dataset has brought to about mean 0 and deviation 1, with the constants of
Standley et al. (ICML 2020). NaN is invalid, for 0 is a value like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError
from mtlrepro.metrics.absolute import AbsoluteError
from mtlrepro.metrics.base import Metric
from mtlrepro.tasks.base import Loss, Task, absolute_error, average_values, full_precision, to_picture

SHOWN = 3.0
"""Deviations from the mean that pictures show."""

HALVES = 2**16
"""Numbers of half precision, NaN among them."""


class StandardisedMap(Task):
    """A real number a pixel, about mean 0 and deviation 1, NaN invalid. Subclasses only name it."""

    main_metric = "abs_err"
    LOSSES = {"l1": Loss(absolute_error)}

    @property
    def usual_channels(self) -> int:
        """One."""
        return 1

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) float32 to (1, H, W)."""
        self._check_label(label, torch.float32, "(H, W)")
        if bool(label.isinf().any()):
            raise DataError("label holds infinity", field=self.name, mend="Invalid pixels are NaN")
        return label.unsqueeze(0)

    def valid(self, target: Tensor) -> Tensor:
        """Where the label is not NaN."""
        return ~target.isnan()

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All NaN."""
        return torch.full(size, math.nan)

    def usual_decode(self, prediction: Tensor) -> Tensor:
        """(B, 1, H, W), as the network gives it, in float32 at least."""
        return full_precision(prediction)

    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """The mean."""
        return average_values(predictions)

    def metrics(self) -> list[Metric]:
        """The absolute error over all valid pixels."""
        return [AbsoluteError()]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """Median of the valid training pixels, the constant of least absolute error; (1, 1, 1, 1) float32.

        Pixels are counted by their value in half precision, so that any number of them takes half a megabyte. The
        median is off by a relative 2^-11 at most, and the absolute error exceeds the least one by no more than that.
        """
        count = torch.zeros(HALVES, dtype=torch.int64)
        for label in labels:
            codes = label.reshape(-1).half().view(torch.int16).long() + HALVES // 2
            count += torch.bincount(codes, minlength=HALVES)
        values, order = torch.arange(-HALVES // 2, HALVES // 2).short().view(torch.float16).float().sort()
        reached = count[order].cumsum(0)[~values.isnan()]  # NaN is sorted to the end
        pixels = int(reached[-1])
        if not pixels:
            raise DataError("no valid pixel in the training set", field=self.name)
        return values[torch.searchsorted(reached, (pixels + 1) // 2)].view(1, 1, 1, 1)

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Grey from -3 (black) to 3 (white); invalid pixels are black."""
        return to_picture((decoded[0] + SHOWN) / (2 * SHOWN))


class Occlusion(StandardisedMap):
    """Occlusion edges: how strongly depth jumps at a pixel."""

    name = "occlusion"


class Reshading(StandardisedMap):
    """The scene's shading by one white light at the camera, all surfaces white."""

    name = "reshading"


class Keypoints(StandardisedMap):
    """Two-dimensional keypoints: the response of a SURF-like detector on the picture."""

    name = "keypoints"


class Texture(StandardisedMap):
    """Texture edges: the strength of the picture's own edges, before they are thinned to lines."""

    name = "texture"
