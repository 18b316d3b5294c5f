"""Which predicted pixels have a partner, where several annotators are compared with one prediction.

A predicted pixel counts as right if any annotation matches it, so it matters here which pixels are matched and not
only how many: the matching is the assignment of least cost, as the BSDS evaluation defines it (Martin et al., PAMI
2004, app. B).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

PRECISION = 100
"""Distances are rounded to hundredths of a pixel, as the public matcher does."""

UNMATCHED = 100
"""Cost of leaving a pixel unmatched, in units of the longest distance allowed: any pair is worth more than that."""


def least_cost_matching(
    start: np.ndarray, found: np.ndarray, pixels: np.ndarray, truth: np.ndarray, width: int, reach: float, seed: int
) -> np.ndarray:
    """Predicted pixels with a partner in the assignment of least total cost.

    Args:
        start, found: true pixels within reach of every pixel (`mtlrepro.metrics.boundary.matching.candidates`).
        pixels: flat numbers of the predicted pixels.
        truth: flat numbers of the true pixels.
        width: of the image.
        reach: longest distance allowed, pixels.
        seed: settles ties.

    Returns:
        (len(pixels),) bool.
    """
    counts = start[pixels + 1] - start[pixels]
    rows = np.repeat(np.arange(len(pixels)), counts)
    if not len(rows):
        return np.zeros(len(pixels), dtype=bool)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = found[np.repeat(start[pixels], counts) + within]
    here, there = pixels[rows], truth[columns]
    distance = np.hypot(here // width - there // width, here % width - there % width)
    chance = np.random.default_rng(seed).random(len(rows)) / (2 * len(rows))  # adds up to under 1
    cost = np.rint(PRECISION * distance) + 1 + chance  # plus 1: the solver takes a stored zero for no edge
    (rows_in, row), (columns_in, column) = (np.unique(ids, return_inverse=True) for ids in (rows, columns))
    flipped = len(columns_in) < len(rows_in)  # the smaller side as rows: several times faster
    if flipped:
        row, column = column, row
    n, m = min(len(rows_in), len(columns_in)), max(len(rows_in), len(columns_in))
    alone = math.ceil(UNMATCHED * PRECISION * reach) + 1  # in a column of its own, a row may stay unmatched
    graph = csr_matrix(
        (
            np.concatenate([cost, np.full(n, float(alone))]),
            (np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])),
        ),
        shape=(n, m + n),
    )
    left, right = min_weight_full_bipartite_matching(graph)
    pairs = right < m
    matched = np.zeros(len(pixels), dtype=bool)
    matched[rows_in[right[pairs] if flipped else left[pairs]]] = True
    return matched
