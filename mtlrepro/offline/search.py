"""Coarse to fine over thresholds: the best one, without looking at all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

STRIDE = 5
"""Of the first look. Pooled F has one summit, so the best threshold lies beside the best of these."""


def coarse_to_fine(score: Callable[[list[float]], Sequence[float]], thresholds: Sequence[float]) -> dict[float, float]:
    """Scores of the thresholds that were looked at; the best of them is the best of all where there is one summit.

    Every fifth threshold is scored, then those around the best one, and around every equal one, until all of these
    have scored neighbours on both sides (or are the first or the last).

    Args:
        score: scores of some thresholds; called once a round, since a round goes over all images.
        thresholds: ascending.

    Example:
        >>> seen = coarse_to_fine(lambda ts: [-abs(t - 0.37) for t in ts], [k / 100 for k in range(1, 100)])
        >>> max(seen, key=seen.get), len(seen) < 35
        (0.37, True)
    """
    last = len(thresholds) - 1
    seen: dict[int, float] = {}
    wanted = {*range(0, last + 1, STRIDE), last}
    while wanted:
        indices = sorted(wanted)
        seen.update(zip(indices, score([thresholds[i] for i in indices]), strict=True))
        highest = max(seen.values())
        open_ends = [
            i for i, v in seen.items() if v == highest and not {max(i - 1, 0), min(i + 1, last)} <= seen.keys()
        ]
        around = {j for i in open_ends for j in range(i - STRIDE + 1, i + STRIDE) if 0 <= j <= last}
        wanted = around - seen.keys()
    return {thresholds[i]: seen[i] for i in sorted(seen)}
