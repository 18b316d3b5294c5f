"""The three ways from a stored soft map to counts that published boundary figures were made with, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mtlrepro.errors import SpecError, unknown
from mtlrepro.metrics.boundary.counts import levels_of
from mtlrepro.metrics.boundary.suppression import suppress
from mtlrepro.metrics.boundary.truth import READINGS

HUNDREDTHS = tuple(k / 100 for k in range(1, 100))


@dataclass(frozen=True)
class Pipeline:
    """How soft maps are thresholded and truths read; thinning and matching are the same in all.

    Attributes:
        thresholds: ascending, within (0, 1).
        suppression: non-maximum suppression before thresholding.
        strict: a pixel is set where its value exceeds the threshold; else where it reaches it.
        truth: a key of `READINGS`.
        interpolated: odsF looks for the best F between thresholds too.
        empty_precision: see `mtlrepro.metrics.boundary.summary.curve`.

    Raises:
        SpecError: on thresholds that do not ascend within (0, 1), or an unknown reading.
    """

    thresholds: Sequence[float] = HUNDREDTHS
    suppression: bool = False
    strict: bool = False
    truth: str = "contour"
    interpolated: bool = False
    empty_precision: float = 1.0

    def __post_init__(self) -> None:
        t = tuple(self.thresholds)
        if not t or not all(a < b for a, b in pairwise((0.0, *t, 1.0))):
            raise SpecError(f"{t} do not ascend between 0 and 1", field="thresholds", mend="Give them in order")
        if self.truth not in READINGS:
            raise unknown("reading of the truth", self.truth, READINGS, field="truth")

    def levels(self, stored: np.ndarray) -> np.ndarray:
        """How many thresholds each pixel of a stored map reaches: (H, W) uint8 to (H, W) int32.

        Raises:
            SpecError: a map of one row or column, which has no direction to suppress across.
        """
        if self.suppression and min(stored.shape) < 2:
            size = "x".join(map(str, stored.shape))
            mend = "Give maps of 2x2 pixels or more"
            raise SpecError(f"no suppression on a map of {size} pixels", field="edges", mend=mend)
        soft = suppress((stored / 255).astype(np.float32)) if self.suppression else stored / 255
        return levels_of(soft, np.array(self.thresholds), strict=self.strict)


PNG = Pipeline()
"""MTI-Net's own script: no suppression, values >= 0.01 ... 0.99."""

NMS = Pipeline((0.001, *HUNDREDTHS, 0.999), suppression=True, strict=True)
"""SEISM's reader, used by ASTMT, ATRC and InvPT: suppression, values > 0.001, 0.01 ... 0.99, 0.999."""

BSDS = Pipeline(truth="as-is", interpolated=True, empty_precision=0.0)
"""BSDS500 and the structured edges toolbox: maps suppressed by the detector itself, several annotators."""
