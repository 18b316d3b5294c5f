"""What gives reason to doubt that files hold what they are taken for: said beside the figures, never an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtlrepro.metrics.boundary.truth import READINGS, contours
from mtlrepro.offline.files import Pair
from mtlrepro.offline.readers import Stored, read_labels, read_probability

LOOKED_AT = 20
"""Pairs that are looked at."""

WIDEST = 5
"""Mean width, pixels, up to which a mask is taken for drawn lines; beyond it is a region."""

CROWDED = 0.5
"""Share of pixels beside a change above which label maps are doubted; that of real ones is a few percent."""


def of_probabilities(pairs: Sequence[Pair], prediction: Stored, truth: Stored) -> list[str]:
    """A mask of 0 and 1 stored in 8 bits looks like a map of probabilities that never exceed 1 / 255."""
    if any(bool((read_probability(p.prediction, prediction) > 1 / 255).any()) for p in _some(pairs)):
        return []
    return ["no prediction exceeds 1/255: 8-bit files hold probabilities times 255, also those of a mask"]


def of_boundaries(pairs: Sequence[Pair], prediction: Stored, truth: Stored) -> list[str]:
    """As `of_probabilities`, and what contours of the truths say of them."""
    found = of_probabilities(pairs, prediction, truth)
    if truth.reading == "contour":
        maps = [read_labels(p.truth, truth) for p in _some(pairs)]
        found += [*_crowded(maps), *_doubled(maps)]
    return found


def _crowded(maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """A soft map in place of a label map changes from pixel to pixel."""
    changes = [contours(labels, known) for labels, known in maps]
    share = sum(int(c.sum()) for c in changes) / sum(c.size for c in changes)
    if share <= CROWDED:
        return []
    return [f"{100 * share:.0f} % of the truths' pixels differ from a neighbour: are these label maps or masks?"]


def _doubled(maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """NYUD-v2's published figures take contours of drawn masks: right if the lines are thin, doubled if not."""
    contour = thin = 0
    for labels, known in maps:
        drawn = (labels != 0) & known
        lines = READINGS["thin"](drawn)
        if len(np.unique(labels[drawn])) == 1 and drawn.sum() <= WIDEST * lines.sum():
            contour += int(READINGS["contour"](labels, known).sum())
            thin += int(lines.sum())
    if abs(contour - thin) <= 0.1 * max(contour, thin):
        return []
    return [
        f"the truths are masks whose contours have {contour} pixels and whose thinned lines have {thin}: drawn "
        "more than a pixel wide, and each line counts as two boundaries. --truth thin reads them as one"
    ]


def _some(pairs: Sequence[Pair]) -> Sequence[Pair]:
    return pairs[:: max(1, len(pairs) // LOOKED_AT)]
