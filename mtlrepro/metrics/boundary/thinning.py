"""Thinning of binary maps to lines one pixel wide (Guo and Hall, CACM 1989), as MATLAB's `bwmorph` "thin" does it.

Two sub-iterations take turns; in each, all removable pixels go at once. A pixel is looked at again only when one of
its neighbours went, so the cost is that of the area removed, not of the area times the number of rounds.
"""

from __future__ import annotations

import numpy as np

from mtlrepro.metrics.boundary.jit import compiled

AROUND = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""(row, column) steps to the neighbours x1 ... x8: east, then counter-clockwise."""


def _removable() -> np.ndarray:
    """(2, 256) uint8: whether a set pixel goes in a sub-iteration, by the code sum_i x_i 2^(i-1) of its neighbours."""
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1 == 1
    x1, x2, x3, x4, x5, x6, x7, x8 = x.T
    odd, even, after = (x1, x3, x5, x7), (x2, x4, x6, x8), (x3, x5, x7, x1)
    crossings = sum((~o & (e | n)).astype(int) for o, e, n in zip(odd, even, after, strict=True))
    first = sum((o | e).astype(int) for o, e in zip(odd, even, strict=True))
    second = sum((e | n).astype(int) for e, n in zip(even, after, strict=True))
    fewer = np.minimum(first, second)
    inner = (crossings == 1) & (fewer >= 2) & (fewer <= 3)
    return np.stack([inner & ~((x2 | x3 | ~x8) & x1), inner & ~((x6 | x7 | ~x4) & x5)]).astype(np.uint8)


REMOVABLE = _removable()


@compiled
def thin_in_place(grid, steps, pixels, removable):
    """Thin until nothing changes.

    Args:
        grid: flat uint8 map with a border of zeros one pixel wide, changed in place.
        steps: see `flat_steps`, of the grid with its border.
        pixels: flat numbers of the grid's set pixels, int32.
        removable: `REMOVABLE`.
    """
    n = len(pixels)
    waiting = np.empty((2, n), dtype=np.int32)  # pixels to look at in either sub-iteration, each at most once
    count = np.array([n, n])
    queued = np.zeros(len(grid), dtype=np.uint8)  # bit s: waits for sub-iteration s
    for i in range(n):
        waiting[0, i] = waiting[1, i] = pixels[i]
        queued[pixels[i]] = 3
    gone = np.empty(n, dtype=np.int32)
    while count[0] or count[1]:
        for turn in range(2):
            removed = 0
            for i in range(count[turn]):
                p = waiting[turn, i]
                queued[p] &= ~np.uint8(1 << turn)
                if grid[p]:
                    code = 0
                    for k in range(8):
                        code |= grid[p + steps[k]] << k
                    if removable[turn, code]:
                        gone[removed] = p
                        removed += 1
            count[turn] = 0
            for i in range(removed):
                grid[gone[i]] = 0
            for i in range(removed):
                for k in range(8):
                    p = gone[i] + steps[k]
                    if grid[p]:
                        for s in range(2):
                            if not queued[p] >> s & 1:
                                queued[p] |= np.uint8(1 << s)
                                waiting[s, count[s]] = p
                                count[s] += 1


@compiled
def by_level(levels, thresholds):
    """Pixels by how many thresholds they reach.

    Args:
        levels: (H * W,) int32 within 0 ... thresholds, which is not checked.
        thresholds: how many there are, K.

    Returns:
        Flat numbers of the pixels of level 1 and more, the highest level first, int32; and bounds (K + 1,) int64:
        those above threshold k are the first bounds[k].
    """
    count = np.zeros(thresholds + 1, dtype=np.int64)
    for level in levels:
        count[level] += 1
    bounds = np.zeros(thresholds + 1, dtype=np.int64)
    for k in range(thresholds - 1, -1, -1):
        bounds[k] = bounds[k + 1] + count[k + 1]
    place = bounds[1:].copy()
    order = np.empty(bounds[0], dtype=np.int32)
    for p in range(len(levels)):
        if levels[p]:
            order[place[levels[p] - 1]] = p
            place[levels[p] - 1] += 1
    return order, bounds


@compiled
def thin_each(order, bounds, low, high, height, width, steps, removable):
    """Thin the map of each threshold from high - 1 down to low.

    Args:
        order, bounds: see `by_level`.
        low, high: which thresholds.
        height, width: of the map.
        steps: see `flat_steps`, of width + 2.
        removable: `REMOVABLE`.

    Returns:
        Flat numbers of the pixels that are left, int32, one threshold after the other; and where each ends,
        (high - low + 1,) int64 with a leading 0.
    """
    grid = np.zeros((height + 2) * (width + 2), dtype=np.uint8)
    padded = np.empty(bounds[low], dtype=np.int32)
    for i in range(len(padded)):
        padded[i] = (order[i] // width + 1) * (width + 2) + order[i] % width + 1
    ends = np.zeros(high - low + 1, dtype=np.int64)
    out = np.empty(max(4 * len(padded), 1024), dtype=np.int32)
    filled = 0
    for k in range(high - 1, low - 1, -1):
        n = bounds[k]
        for i in range(n):
            grid[padded[i]] = 1
        thin_in_place(grid, steps, padded[:n], removable)
        if filled + n > len(out):
            grown = np.empty(2 * (filled + n), dtype=np.int32)
            grown[:filled] = out[:filled]
            out = grown
        for i in range(n):
            if grid[padded[i]]:
                out[filled] = order[i]
                filled += 1
                grid[padded[i]] = 0
        ends[high - k] = filled
    return out[:filled], ends


def flat_steps(width: int) -> np.ndarray:
    """The eight neighbour steps in a flat grid whose rows hold `width` pixels, (8,) int32."""
    return np.array([dy * width + dx for dy, dx in AROUND], dtype=np.int32)


def thin(binary: np.ndarray) -> np.ndarray:
    """Thin a binary map until nothing changes.

    Args:
        binary: (H, W), nonzero where set.

    Returns:
        (H, W) bool.

    Example:
        >>> thin(np.ones((3, 9))).astype(int).tolist()
        [[0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]]
    """
    grid = np.ascontiguousarray(np.pad((np.asarray(binary) != 0).astype(np.uint8), 1))
    flat = grid.reshape(-1)  # a view, which is thinned in place
    thin_in_place(flat, flat_steps(grid.shape[1]), np.flatnonzero(flat).astype(np.int32), REMOVABLE)
    return grid[1:-1, 1:-1] != 0
