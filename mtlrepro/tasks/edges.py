"""Edges, binary cross-entropy weighted towards the rare edge pixels (MTI-Net, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.edges import IGNORE, POSITIVE_WEIGHT, EdgeBCE, MacroF1, PixelEdges
from mtlrepro.metrics.odsf import BoundaryNMS, BoundaryPNG
from mtlrepro.tasks.base import Task, full_precision, to_picture


def weighted_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy (nats) of every pixel, edges weighted 0.95 and others 0.05; an `ElementwiseLoss`."""
    edge = target >= 0.5
    weight = torch.where(edge, POSITIVE_WEIGHT, 1 - POSITIVE_WEIGHT) * valid
    return F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype), weight=weight, reduction="none")


class Edges(Task):
    """1 on an edge, 0 elsewhere, 255 ignored."""

    name = "edges"
    resampling = "boundary"
    main_metric = "f"
    LOSSES = {"weighted_cross_entropy": weighted_cross_entropy}

    @property
    def channels(self) -> int:
        """One logit."""
        return 1

    def collate(self, label: Tensor) -> Tensor:
        """(H, W) uint8 to (1, H, W) float32."""
        self._check_label(label, torch.uint8, "(H, W)")
        wrong = (label > 1) & (label != IGNORE)
        if bool(wrong.any()):
            mend = f"Edge labels are 0, 1, or {IGNORE} where ignored"
            raise DataError(f"label holds the value {int(label[wrong][0])}", field=self.name, mend=mend)
        return label.float().unsqueeze(0)

    def valid(self, target: Tensor) -> Tensor:
        """Where the label is not 255."""
        return target != IGNORE

    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """All 255."""
        return torch.full(size, IGNORE, dtype=torch.uint8)

    def decode(self, prediction: Tensor) -> Tensor:
        """Logits (B, 1, H, W) to edge probabilities."""
        return full_precision(prediction).sigmoid()

    def metrics(self) -> list[Metric]:
        """F by the pixel, the loss, DenseMTL's F1, and odsF in both ways."""
        tolerance = self.info.edge_tolerance
        return [PixelEdges(), EdgeBCE(), MacroF1(), BoundaryNMS(tolerance), BoundaryPNG(tolerance)]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """The constant probability of least loss, (1, 1, 1, 1) float32, and at least 0.02.

        Above the lowest threshold every constant has the same F (everything is called an edge); the bound keeps
        it there when edges are rarer than 1 in 1000.
        """
        edges, others = 0, 0
        for label in labels:
            edges += int((label == 1).sum())
            others += int((label == 0).sum())
        if not edges + others:
            raise DataError("no valid pixel in the training set", field=self.name)
        positive, negative = POSITIVE_WEIGHT * edges, (1 - POSITIVE_WEIGHT) * others
        return torch.full((1, 1, 1, 1), max(positive / (positive + negative), 0.02))

    def picture(self, decoded: Tensor) -> np.ndarray:
        """Grey, white where an edge is certain; ignored label pixels are mid-grey."""
        return to_picture(torch.where(decoded == IGNORE, 0.5, decoded)[0])
