"""Edges, cross-entropy weighted towards the rare edge pixels: of one logit (MTI-Net, sec. 3.1) or of two (DenseMTL).

The two differ in what the weights are divided by, too: the number of pixels, and the sum of their weights. Edges weigh
0.95 in most papers, and 0.80 in ATRC on NYUD-v2 (its public reference implementation).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.errors import DataError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.edges import POSITIVE_WEIGHT, EdgeBCE, MacroF1, PixelEdges
from mtlrepro.metrics.odsf import BoundaryNMS, BoundaryPNG
from mtlrepro.tasks.base import Loss, average_softmax
from mtlrepro.tasks.binary import Binary, difference


def class_weights(target: Tensor, valid: Tensor, positive: float = POSITIVE_WEIGHT) -> Tensor:
    """(B, 1, H, W) float32: `positive` on edges, 1 - `positive` elsewhere, 0 where ignored."""
    return torch.where(target >= 0.5, positive, 1 - positive) * valid


def weighted_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor, positive: float = POSITIVE_WEIGHT) -> Tensor:
    """Cross-entropy (nats) of every pixel, weighted by `class_weights`; an `ElementwiseLoss`."""
    edge = target >= 0.5
    weight = class_weights(target, valid, positive)
    return F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype), weight=weight, reduction="none")


def two_classes(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """`weighted_cross_entropy` of two logits, no edge and edge, which depends on their difference alone."""
    return weighted_cross_entropy(difference(logits), target, valid)


def edge_probability(logits: Tensor) -> Tensor:
    """Two logits (B, 2, H, W) to (B, 1, H, W) probabilities of an edge, above 0.5 just where the second is larger."""
    logit = difference(logits)
    # Of a tiny difference the sigmoid is 0.5, which would be a tie.
    above = 0.5 + torch.finfo(logits.dtype).eps
    return torch.where(logit > 0, logit.sigmoid().clamp_min(above), logit.sigmoid())


class Edges(Binary):
    """1 on an edge, 0 elsewhere, 255 ignored."""

    name = "edges"
    resampling = "boundary"
    main_metric = "f"
    LOSSES = {
        "weighted_cross_entropy": Loss(weighted_cross_entropy),
        "weighted_cross_entropy_80": Loss(partial(weighted_cross_entropy, positive=0.80)),
        "two_classes": Loss(
            two_classes, counted=class_weights, channels=2, decode=edge_probability, average=average_softmax
        ),
    }

    def metrics(self) -> list[Metric]:
        """F by the pixel, the loss, DenseMTL's F1, and odsF in both ways."""
        tolerance = self.info.edge_tolerance
        return [PixelEdges(), EdgeBCE(), MacroF1(), BoundaryNMS(tolerance), BoundaryPNG(tolerance)]

    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """The constant probability of least `weighted_cross_entropy`, (1, 1, 1, 1) float32, and at least 0.02.

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
