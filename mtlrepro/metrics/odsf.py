"""Boundary F-measure by the BSDS protocol: odsF, oisF and AP (Martin et al., PAMI 2004; Arbeláez et al., PAMI 2011)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from mtlrepro.errors import DataError, SpecError, unknown
from mtlrepro.metrics.base import HostMetric, check_finite
from mtlrepro.metrics.boundary import summary
from mtlrepro.metrics.boundary.counts import MODES, Counts, boundary_counts
from mtlrepro.metrics.boundary.pipeline import BSDS, NMS, PNG, Pipeline
from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.metrics.edges import IGNORE

SEGMENTS = "segments"
"""Key of a sample's label map whose contour the truth is, where that is not the contour of its `edges`."""


class BoundaryF(HostMetric):
    """Soft boundary maps against true boundaries, matched one to one within a tolerance; figures in [0, 1].

    State are counts summed over images, so merging is addition; the fractions that the default mode subtracts are
    float64. An image without valid pixels counts for nothing. One without boundaries counts: what is predicted there
    is wrong. NaN before the first image, and after a prediction that was NaN at a valid pixel.

    Args:
        max_dist: tolerance as a fraction of the image diagonal: 0.0075 on BSDS500 and PASCAL-Context, 0.011 on
            NYUD-v2.
        mode: `"expected"` (agrees with figures of the public matcher, which loses up to 0.25 percent of the pairs by
            chance) or `"exact"` (the definition).
        thresholds: instead of the protocol's.
        truth: how a truth map is read, instead of the protocol's way: see
            `mtlrepro.metrics.boundary.truth.READINGS`.
        threads: that share the thresholds of an image, by default as many as torch uses; no figure depends on it.

    Raises:
        SpecError: on a tolerance outside (0, 1), an unknown mode or reading, thresholds that do not ascend.
    """

    pipeline: ClassVar[Pipeline]
    better: ClassVar[dict[str, str]] = {"odsf": "higher", "oisf": "higher", "ap": "higher"}

    def __init__(
        self,
        max_dist: float = 0.0075,
        mode: str = "expected",
        thresholds: Sequence[float] | None = None,
        truth: str | None = None,
        threads: int | None = None,
    ):
        super().__init__()
        usual = self.pipeline
        self.way = replace(
            usual, thresholds=usual.thresholds if thresholds is None else tuple(thresholds), truth=truth or usual.truth
        )
        if mode not in MODES:
            raise unknown("mode", mode, MODES, field="mode")
        if not 0 < max_dist < 1:
            raise SpecError(f"{max_dist}", field="max_dist", mend="Give a fraction of the diagonal, such as 0.0075")
        if threads is not None and threads < 1:
            raise SpecError(f"{threads}", field="threads", mend="Give 1 or more, or None for as many as torch uses")
        self.max_dist, self.mode, self.threads = max_dist, mode, threads
        self._zeros("pooled", 4, len(self.way.thresholds))
        self._zeros("own_best", 4)
        self._zeros("images", dtype=torch.int64)
        self._zeros("non_finite", dtype=torch.int64)

    @torch.no_grad()
    def jobs(self, prediction: Tensor, target: Tensor) -> list[Callable[[], Counts]]:
        """What there is to count for a batch: `count` of every image that has a valid pixel.

        Args:
            prediction: (B, 1, H, W) boundary probability; cut to 256 levels, as it is when stored as a PNG.
            target: (B, A, H, W) with one map per annotator, 255 ignored: 1 on a boundary and 0 elsewhere, or class
                ids where the truth is read as a contour.

        Raises:
            SpecError: on a shape mismatch or a prediction outside [0, 1].
            DataError: on a label that is not finite, or other than 0, 1 and 255 where masks are read.
        """
        shape = (*target.shape[:1], 1, *target.shape[2:])
        if target.ndim != 4 or not target.shape[1] or tuple(prediction.shape) != shape:
            problem = f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} do not fit"
            raise SpecError(problem, field="edges", mend="Give (B, 1, H, W) and (B, annotators, H, W)")
        check_finite("edges", target)
        wrong = (target != 0) & (target != 1) & (target != IGNORE)
        if self.way.truth != "contour" and bool(wrong.any()):
            mend = f"Edge labels are 0, 1, or {IGNORE} where ignored"
            raise DataError(f"label holds the value {float(target[wrong][0]):g}", field="edges", mend=mend)
        valid = (target != IGNORE).all(dim=1, keepdim=True)
        p = torch.where(valid, prediction, 0.0)
        if bool(((p < 0) | (p > 1)).any()):
            raise SpecError("prediction is not in [0, 1]", field="edges", mend="Pass probabilities, not logits")
        broken = torch.isnan(p)
        p = p.to(torch.promote_types(p.dtype, torch.float32)).nan_to_num(0.0)  # half precision would round up
        stored = (p * 255).to(torch.uint8).cpu().numpy()
        truths, known = target.detach().cpu().numpy(), valid.cpu().numpy()[:, 0]
        self._add({"non_finite": broken.sum().cpu()})
        return [
            self._job(stored[i, 0], list(truths[i]), None if known[i].all() else known[i])
            for i in range(len(stored))
            if known[i].any()
        ]

    def count(self, stored: np.ndarray, truths: Sequence[np.ndarray], known: np.ndarray | None = None) -> Counts:
        """Counts of one image at every threshold.

        Args:
            stored: (H, W) uint8 boundary probability times 255.
            truths: one (H, W) map per annotator, as the protocol reads them.
            known: (H, W) bool, where they are known; None for everywhere.

        Raises:
            SpecError: on maps of different sizes.
        """
        return self._job(stored, truths, known)()

    def add(self, counted: Counts) -> None:
        """Add the counts of one image."""
        image = counted.stack()
        own = summary.at_own_best(image)
        sums = {"pooled": torch.from_numpy(image), "own_best": torch.from_numpy(own), "images": torch.tensor(1)}
        self._add(sums)

    def _job(self, *image: Any) -> Callable[[], Counts]:
        return partial(_count, self.way, self.max_dist, self.mode, self.threads, *image)

    def merge(self, other: Self) -> Self:
        """Add another accumulator's counts (SpecError also where it was built with other settings)."""
        for name, mine in self._settings().items():
            theirs = other._settings()[name] if other.protocol == self.protocol else mine
            if mine != theirs:
                mend = "Merge accumulators built the same way"
                raise SpecError(f"cannot merge counts made with {theirs} into {mine}", field=name, mend=mend)
        return super().merge(other)

    def _settings(self) -> dict[str, Any]:
        return {"max_dist": self.max_dist, "mode": self.mode, "pipeline": self.way}

    def _sound(self) -> bool:
        return bool(self.state["images"]) and not self.state["non_finite"]

    def precision_recall(self) -> summary.Curve:
        """Precision, recall and F at every threshold, over all images so far."""
        return summary.curve(self.state["pooled"].cpu().numpy(), self.way.empty_precision)

    def curve(self) -> dict[str, list[float]]:
        """The same as lists, with the thresholds; empty where the figures are NaN."""
        if not self._sound():
            return {}
        c = self.precision_recall()
        lists = {"precision": c.precision.tolist(), "recall": c.recall.tolist(), "f": c.f.tolist()}
        return {"thresholds": list(self.way.thresholds), **lists}

    def compute(self) -> dict[str, float]:
        """Figures odsf, oisf and ap."""
        if not self._sound():
            return dict.fromkeys(self.better, math.nan)
        c = self.precision_recall()
        own = summary.curve(self.state["own_best"].cpu().numpy()[:, None])
        ods = summary.best_interpolated(c) if self.way.interpolated else float(c.f.max())
        return {"odsf": ods, "oisf": float(own.f[0]), "ap": summary.average_precision(c)}


class BoundaryPNG(BoundaryF):
    """`odsf/png@1`: MTI-Net's way: 8-bit maps without suppression, 99 thresholds; the truth is a label map's contour.

    Example:
        >>> metric = BoundaryPNG(max_dist=0.05, truth="as-is")
        >>> line, truth = torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20)
        >>> line[..., 10, 3:9], truth[..., 11, 5:11] = 1, 1
        >>> metric.update(line, truth)
        >>> round(metric.compute()["odsf"], 4)  # 5 of 6 have a partner
        0.8333
    """

    protocol = "odsf/png@1"
    own_label = SEGMENTS
    pipeline = PNG


class BoundaryNMS(BoundaryF):
    """`odsf/nms@1`: SEISM's reader as in InvPT, ATRC and ASTMT: suppression, 101 thresholds, a contour as truth."""

    protocol = "odsf/nms@1"
    own_label = SEGMENTS
    pipeline = NMS


class BoundaryBSDS(BoundaryF):
    """`odsf/bsds@1`: BSDS500's way: maps suppressed by the detector, annotators as drawn, interpolated ODS."""

    protocol = "odsf/bsds@1"
    pipeline = BSDS


def _count(
    way: Pipeline,
    max_dist: float,
    mode: str,
    threads: int | None,
    stored: np.ndarray,
    truths: Sequence[np.ndarray],
    known: np.ndarray | None,
) -> Counts:
    levels, thresholds = way.levels(stored), len(way.thresholds)
    thin = [READINGS[way.truth](truth, known) for truth in truths]
    threads = threads or torch.get_num_threads()
    if threads == 1:
        return boundary_counts(levels, thresholds, thin, max_dist, mode=mode)
    with ThreadPoolExecutor(threads) as pool:
        return boundary_counts(levels, thresholds, thin, max_dist, mode=mode, pool=pool, parts=threads)
