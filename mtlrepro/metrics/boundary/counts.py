"""One image: how many boundary pixels match at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mtlrepro.errors import SpecError, unknown
from mtlrepro.metrics.boundary.assignment import least_cost_matching
from mtlrepro.metrics.boundary.matching import candidates, expected_loss, match_all, offsets
from mtlrepro.metrics.boundary.thinning import REMOVABLE, by_level, flat_steps, thin_each

MODES = ("expected", "exact")
"""`expected`: pairs of a maximum matching minus what the public matcher loses on average, so that figures compare
with published ones. `exact`: the pairs of the maximum matching, which is the definition. With several annotators the
loss is taken off the matched true pixels; which predicted pixels have a partner is asked of whole assignments."""


@dataclass(frozen=True)
class Counts:
    """Pixel counts per threshold, each (K,) float64 (whole numbers but for the expected loss).

    Attributes:
        matched_truth: true pixels with a partner, summed over annotators (cntR of the BSDS tables).
        truth: true pixels, summed over annotators (sumR).
        matched: predicted pixels with a partner in at least one annotation (cntP).
        predicted: predicted pixels (sumP).
    """

    matched_truth: np.ndarray
    truth: np.ndarray
    matched: np.ndarray
    predicted: np.ndarray

    def stack(self) -> np.ndarray:
        """(4, K): the four in the order of their names above."""
        return np.stack([self.matched_truth, self.truth, self.matched, self.predicted])


def boundary_counts(
    levels: np.ndarray,
    thresholds: int,
    truths: Sequence[np.ndarray],
    max_dist: float,
    *,
    mode: str = "expected",
    pool: Executor | None = None,
    parts: int = 1,
) -> Counts:
    """Threshold, thin and match one image at every threshold.

    Args:
        levels: (H, W) integers: how many of the ascending thresholds the pixel reaches (see `levels_of`).
        thresholds: how many there are, K.
        truths: one (H, W) boundary map per annotator (nonzero on a boundary), thinned already.
        max_dist: reach as a fraction of the image diagonal.
        mode: a key of `MODES`.
        pool: where parts of the thresholds are matched side by side; the figures do not depend on it.
        parts: how many parts.

    Raises:
        SpecError: a truth of another size, levels out of range, an unknown mode.

    Example:
        A line of six pixels against one that is shifted by a row and two columns; five find a partner:

        >>> line, truth = np.zeros((20, 20), int), np.zeros((20, 20))
        >>> line[10, 3:9], truth[11, 5:11] = 1, 1
        >>> counts = boundary_counts(line, 1, [truth], 0.05)
        >>> counts.matched.tolist(), counts.predicted.tolist(), counts.truth.tolist()
        ([5.0], [6.0], [6.0])
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES, field="mode")
    if levels.size and not 0 <= levels.min() <= levels.max() <= thresholds:  # compiled loops do not check
        problem = f"levels from {levels.min()} to {levels.max()} of {thresholds} thresholds"
        raise SpecError(problem, field="levels", mend="Make them with levels_of")
    for truth in truths:
        if truth.shape != levels.shape:
            sizes = f"prediction is {_by(levels)}, truth {_by(truth)}"
            raise SpecError(sizes, field="boundaries", mend="Evaluate at the size of the truth")
    height, width = levels.shape
    reach = max_dist * float(np.hypot(height, width))
    steps = offsets(reach)
    wanted = (levels > 0).astype(np.uint8).reshape(-1)
    true_pixels = [np.flatnonzero(truth).astype(np.int32) for truth in truths]
    tables: list[tuple[np.ndarray, np.ndarray]] = [
        candidates(pixels, wanted, height, width, steps) for pixels in true_pixels
    ]
    order, bounds = by_level(np.ascontiguousarray(levels, dtype=np.int32).reshape(-1), thresholds)

    def part(low: int, high: int) -> np.ndarray:
        """(4, high - low) for thresholds low to high - 1."""
        pixels, ends = thin_each(order, bounds, low, high, height, width, flat_steps(width + 2), REMOVABLE)
        out = np.zeros((4, high - low))
        out[3] = np.diff(ends)
        for mine, (start, found) in zip(true_pixels, tables, strict=True):
            pairs, predicted, true, reachable = match_all(pixels, ends, height * width, start, found, len(mine)).T
            matched = pairs.astype(np.float64)
            if mode == "expected":
                small, large = np.minimum(predicted, true), np.maximum(predicted, true)
                matched -= [expected_loss(*map(int, n)) for n in zip(small, large, reachable, strict=True)]
            out[0] += matched
            out[1] += len(mine)
        if len(truths) == 1:
            out[2] = out[0]
        else:
            for k, mine in enumerate(np.split(pixels, ends[1:-1])):
                annotators = enumerate(zip(true_pixels, tables, strict=True))
                mine.sort()  # ties must not depend on which other thresholds there are
                out[2, k] = np.any(
                    [least_cost_matching(*table, mine, true, width, reach, n) for n, (true, table) in annotators],
                    axis=0,
                ).sum()
        return out[:, ::-1]

    cuts = np.linspace(0, thresholds, min(parts, thresholds) + 1).astype(int)
    pieces = (pool.map if pool else map)(part, cuts[:-1], cuts[1:])
    return Counts(*np.concatenate(list(pieces), axis=1))


def levels_of(values: np.ndarray, thresholds: np.ndarray, *, strict: bool) -> np.ndarray:
    """How many of the ascending float64 thresholds each value reaches (`strict`: exceeds), compared in float64.

    Example:
        >>> levels_of(np.array([[0.1, 0.5]]), np.array([0.25, 0.5]), strict=False).tolist()
        [[0, 2]]
    """
    side: Literal["left", "right"] = "left" if strict else "right"
    return np.searchsorted(thresholds, values.astype(np.float64), side=side).astype(np.int32)


def _by(array: np.ndarray) -> str:
    return "x".join(str(n) for n in array.shape)
