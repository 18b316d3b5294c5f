"""From matched counts to odsF, oisF, AP and the curve (Martin et al., PAMI 2004; Arbeláez et al., PAMI 2011)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RECALLS = np.arange(101) / 100
"""Where AP samples the precision."""

STEPS = np.linspace(0, 1, 100)
"""Between two thresholds, where the interpolated ODS looks for a better F."""


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F at every threshold, each (K,) float64 in [0, 1]."""

    precision: np.ndarray
    recall: np.ndarray
    f: np.ndarray


def curve(counts: np.ndarray, empty_precision: float = 1.0) -> Curve:
    """The curve of counts.

    Args:
        counts: (4, K): matched true, true, matched predicted and predicted pixels, pooled over images. Without a
            true pixel recall is `empty_precision` and precision 0; else, without a predicted one, precision is
            `empty_precision` and recall 0. F is 0 either way.
        empty_precision: 1 in SEISM, 0 in the BSDS and structured edges evaluations; only AP notices.

    Example:
        >>> curve(np.array([[5.0], [6.0], [5.0], [10.0]])).f.round(3).tolist()
        [0.625]
    """
    matched_truth, truth, matched, predicted = np.asarray(counts, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(truth > 0, matched_truth / truth, empty_precision)
        precision = np.where(predicted > 0, matched / predicted, np.where(truth > 0, empty_precision, 0.0))
    return Curve(precision, recall, f_measure(precision, recall))


def f_measure(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Harmonic mean, 0 where both are 0."""
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


def best_interpolated(c: Curve) -> float:
    """Largest F where precision and recall are interpolated linearly between thresholds (Dollár's edgesEvalDir)."""
    mix = [STEPS[:, None] * v[None, 1:] + (1 - STEPS[:, None]) * v[None, :-1] for v in (c.precision, c.recall)]
    return float(max(c.f.max(), f_measure(*mix).max(initial=0.0)))


def at_own_best(counts: np.ndarray) -> np.ndarray:
    """(4,) counts of one image (4, K) at the threshold of its largest F, the lowest of those equal to six decimals.

    Added up over images they give oisF, which is not the mean of the images' F and may be below odsF.
    """
    return counts[:, int(curve(counts).f.round(6).argmax())]


def average_precision(c: Curve) -> float:
    """Mean over 101 recalls of the interpolated precision, counting 0 outside the recalls that were reached.

    Of equal recalls the lowest threshold's precision counts.
    """
    recall, first = np.unique(c.recall, return_index=True)
    return float(np.interp(RECALLS, recall, c.precision[first], left=0.0, right=0.0).sum() / 100)
