"""The true boundaries: from a label map, from a drawn mask, or as annotators drew them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtlrepro.metrics.boundary.thinning import thin


def contours(labels: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Where a label map changes, one pixel towards the upper left of each change.

    Args:
        labels: (H, W) integers; every value, 0 included, is a segment.
        known: (H, W) bool; a change from or to a pixel that is not known is none.

    Returns:
        (H, W) bool: the pixel differs from its right, lower or lower right neighbour (last row: right only; last
        column: lower only; last pixel: never), as SEISM turns segmentations into boundaries.

    Example:
        >>> contours(np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])).astype(int).tolist()
        [[0, 1, 0], [1, 1, 1], [0, 0, 0]]
    """
    s = np.asarray(labels)
    edge = np.zeros(s.shape, dtype=bool)
    here, there = np.s_[:-1], np.s_[1:]
    for a, b in (((slice(None), here), (slice(None), there)), (here, there), ((here, here), (there, there))):
        edge[a] |= (s[a] != s[b]) if known is None else (s[a] != s[b]) & known[a] & known[b]
    return edge


def drawn(mask: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Where a mask is set and known, (H, W) bool."""
    return np.asarray(mask) != 0 if known is None else (np.asarray(mask) != 0) & known


READINGS: dict[str, Callable[..., np.ndarray]] = {
    "contour": lambda labels, known=None: thin(contours(labels, known)),
    "thin": lambda mask, known=None: thin(drawn(mask, known)),
    "as-is": drawn,
}
"""How a truth map, and where it is known, become boundary pixels. `contour`: thinned borders of its segments; a drawn
line is a segment too, and one that is two or more pixels wide becomes *two* boundaries (the published NYUD-v2 figures
were made that way). `thin`: the thinned mask. `as-is`: every nonzero pixel (BSDS)."""
