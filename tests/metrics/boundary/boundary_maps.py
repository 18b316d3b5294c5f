"""Maps the boundary tests share: those of the conformance vectors, and random ones."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState
from scipy.ndimage import gaussian_filter, map_coordinates

from mtlrepro.metrics.boundary.matching import candidates, expected_loss, match_all, offsets
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.metrics.boundary.truth import contours


def soft(seed, height=40, width=56):
    """Sums of nine uniform draws: smooth blobs, about half of them above 4.5."""
    a = RandomState(seed).rand(height + 2, width + 2)
    return sum(a[i : i + height, j : j + width] for i in range(3) for j in range(3))


def segments(seed):
    """(40, 56) label map of 35 squares."""
    return np.kron(RandomState(seed).randint(0, 4, (5, 7)), np.ones((8, 8), int))


def lines(seed):
    """Thinned boundaries of `segments`."""
    return thin(contours(segments(seed)))


def circles(cx, cy):
    y, x = np.mgrid[:480, :640]
    return thin(np.abs(np.hypot(x - cx, y - cy) % 40 - 20) < 0.75)


def jittered(g, seed, keep, noise):
    """A map shifted by a pixel or not, with pixels lost and false ones added (draws in this order)."""
    rs = RandomState(seed)
    kept = g & (rs.rand(*g.shape) < keep)
    return kept | (rs.rand(*g.shape) < noise)


def summary(binary):
    """Number of pixels, sums of their rows and of their columns."""
    y, x = np.nonzero(binary)
    return len(y), int(y.sum()), int(x.sum())


def scattered(seed, height=12, width=15, predicted=0.2, true=0.2):
    """Two unrelated random maps."""
    rs = RandomState(seed)
    return rs.rand(height, width) < predicted, rs.rand(height, width) < true


def joined(p, g, reach):
    """(n_p, n_g) squared distances, and which are within reach, pixels numbered row by row: the definition."""
    a, b = np.argwhere(p), np.argwhere(g)
    squared = ((a[:, None].astype(float) - b[None]) ** 2).sum(-1)
    return squared, np.sqrt(squared) <= reach


def diagonal(p):
    return float(np.hypot(*p.shape))


def tables(p, g, max_dist, wanted=None):
    """Arguments of the matchers: start, found, flat predicted and true pixels."""
    pixels, truth = (np.flatnonzero(m).astype(np.int32) for m in (p, g))
    wanted = (p if wanted is None else wanted).astype(np.uint8).reshape(-1)
    start, found = candidates(truth, wanted, *p.shape, offsets(max_dist * diagonal(p)))
    return start, found, pixels, truth


def matched(p, g, max_dist):
    """Pairs, matchable predicted and true pixels, reachable ones of the smaller side; nothing is thinned."""
    start, found, pixels, truth = tables(p, g, max_dist)
    (row,) = match_all(pixels, np.array([0, len(pixels)]), p.size, start, found, len(truth))
    return tuple(int(n) for n in row)


def loss(row):
    """What the public matcher loses on average, of a row of `matched`."""
    _, n1, n2, reachable = row
    return expected_loss(min(n1, n2), max(n1, n2), reachable)


def warped(seed, height=60, width=80):
    """A soft map and its truth: boundaries of a warped partition, seen blurred, displaced, gapped and with clutter.

    Returns:
        (H, W) uint8 prediction times 255, and (H, W) bool thinned truth.
    """
    rs = RandomState(seed)

    def field(sigma):
        f = gaussian_filter(rs.randn(height, width), sigma, mode="wrap")
        return f / f.std()

    y, x = np.mgrid[:height, :width].astype(float)
    sites = rs.rand(10, 2) * (height, width)
    wave = y + 3 * field(8), x + 3 * field(8)
    cells = np.argmin([(wave[0] - a) ** 2 + (wave[1] - b) ** 2 for a, b in sites], axis=0)
    truth = thin(contours(cells))
    ridges = np.minimum(3 * gaussian_filter(truth.astype(float), 0.8), 1)
    jitter = rs.uniform(0.4, 1.0)
    seen = map_coordinates(ridges, [y + jitter * field(5), x + jitter * field(5)], order=1)
    confidence = np.clip(0.65 + 0.2 * field(10), 0.1, 1)
    p = np.maximum(seen * confidence, 0.45 * np.clip(field(1.5) - 1.2, 0, 1)) + 0.03 * rs.rand(height, width)
    return (255 * np.clip(p, 0, 1)).astype(np.uint8), truth
