"""Edges, binary cross-entropy weighted towards the rare edge pixels (MTI-Net, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.edges import POSITIVE_WEIGHT, EdgeBCE, MacroF1, PixelEdges
from mtlrepro.metrics.odsf import BoundaryNMS, BoundaryPNG
from mtlrepro.tasks.binary import Binary


def weighted_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy (nats) of every pixel, edges weighted 0.95 and others 0.05; an `ElementwiseLoss`."""
    edge = target >= 0.5
    weight = torch.where(edge, POSITIVE_WEIGHT, 1 - POSITIVE_WEIGHT) * valid
    return F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype), weight=weight, reduction="none")


class Edges(Binary):
    """1 on an edge, 0 elsewhere, 255 ignored."""

    name = "edges"
    resampling = "boundary"
    main_metric = "f"
    LOSSES = {"weighted_cross_entropy": weighted_cross_entropy}

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
