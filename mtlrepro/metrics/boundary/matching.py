"""One-to-one correspondence of predicted and true boundary pixels: a maximum matching for every threshold.

The truth stays the same from threshold to threshold and the predicted pixels change little, so the pairs found at
one threshold are where the search starts at the next. Neither the number of pairs of a maximum matching nor the
set of pixels that decides the expected loss depends on where the search started, so no figure does either.

The public matcher (BSDS, Martin et al., PAMI 2004) minimises distance with a penalty per unmatched pixel that makes
any pair worthwhile: its number of pairs is that of a maximum matching, but for what it loses by drawing at random
which pixels may stay unmatched. `expected_loss` is the mean of that loss.
"""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.metrics.boundary.jit import compiled

LINKS = 6
"""Random links per pixel to "unmatched" in the public matcher."""


def offsets(radius: float) -> np.ndarray:
    """(N, 2) int32 steps (row, column) no longer than `radius` pixels, the nearest first.

    Example:
        >>> [len(offsets(r)) for r in (6.0, 8.8)]
        [113, 241]
    """
    reach = math.floor(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    length = np.hypot(dy, dx)
    near = np.flatnonzero(length <= radius)
    near = near[np.argsort(length[near], kind="stable")]
    return np.stack([dy[near], dx[near]], axis=1).astype(np.int32)


def expected_loss(smaller: int, larger: int, reachable: int) -> float:
    """Mean number of pairs that the public matcher loses, at most 0.25 percent of them.

    A pixel of the larger side may stay unmatched only through links drawn at random; where none leads to it, a pair
    is given up for it, unless an unmatched pixel of the smaller side can take its place.

    Args:
        smaller, larger: pixels of either side with at least one pixel of the other within reach.
        reachable: those of the smaller side that an alternating path joins to an unmatched one of that side.

    Returns:
        Pairs, >= 0.

    Example:
        Two equal boundaries of 331 pixels lose 0.777 pairs (400 runs of the public matcher: 0.81):

        >>> round(expected_loss(331, 331, 0), 3)
        0.777
    """
    if smaller <= LINKS:
        return 0.0
    return smaller * (1 - LINKS / smaller) ** larger * math.exp(-LINKS * reachable / smaller)


@compiled
def candidates(truth, wanted, height, width, steps):
    """True pixels within reach of each wanted pixel, the nearest first.

    Args:
        truth: flat pixel numbers of the boundary, int32.
        wanted: (height * width,) uint8, nonzero where a predicted pixel may ever be.
        steps: see `offsets`.

    Returns:
        start (height * width + 1,) int64, and indices into `truth`, int32: those of pixel p are start[p]:start[p+1].
    """
    start = np.zeros(height * width + 1, dtype=np.int64)
    for fill in range(2):
        if fill:
            for p in range(height * width):
                start[p + 1] += start[p]
            found = np.empty(start[-1], dtype=np.int32)
            place = start[:-1].copy()
        for k in range(len(steps)):
            dy, dx = steps[k]
            for t in range(len(truth)):
                y, x = truth[t] // width + dy, truth[t] % width + dx
                if 0 <= y < height and 0 <= x < width and wanted[y * width + x]:
                    p = y * width + x
                    if fill:
                        found[place[p]] = t
                        place[p] += 1
                    else:
                        start[p + 1] += 1
    return start, found


@compiled
def _augment(start, stop, neighbours, mate, other_mate):
    """Make a matching maximum by breadth-first search from every unmatched node of one side.

    Args:
        start, stop, neighbours: node i of this side is joined to the other side's neighbours[start[i]:stop[i]].
        mate, other_mate: the matching so far, -1 where unmatched; grown in place.

    Returns:
        Nodes of this side with a neighbour that alternating paths join to an unmatched one, itself included.
    """
    n, reachable = len(mate), 0
    seen = np.full(len(other_mate), -1, dtype=np.int32)  # the search that saw it last; n: can lead nowhere
    came = np.empty(len(other_mate), dtype=np.int32)
    queue = np.empty(n + 1, dtype=np.int32)
    for i in range(n):  # any free neighbour; for predicted pixels the nearest
        if mate[i] < 0:
            for e in range(start[i], stop[i]):
                j = neighbours[e]
                if other_mate[j] < 0:
                    mate[i], other_mate[j] = j, i
                    break
    for root in range(n):
        if mate[root] >= 0 or start[root] == stop[root]:
            continue
        queue[0] = root
        head, tail, free = 0, 1, -1
        while head < tail and free < 0:
            i = queue[head]
            head += 1
            for e in range(start[i], stop[i]):
                j = neighbours[e]
                if seen[j] == root or seen[j] == n:
                    continue
                seen[j] = root
                came[j] = i
                if other_mate[j] < 0:
                    free = j
                    break
                queue[tail] = other_mate[j]
                tail += 1
        if free < 0:
            # No path leaves what was seen, now or later: every neighbour of its nodes is matched within it.
            reachable += tail
            for k in range(1, tail):
                seen[mate[queue[k]]] = n
        while free >= 0:
            i = came[free]
            before = mate[i]
            mate[i], other_mate[free] = free, i
            free = before
    return reachable


@compiled
def match_all(pixels, bounds, size, start, found, truths):
    """A maximum matching for each of several predictions, each starting from the one before.

    Args:
        pixels: flat numbers of the predicted pixels of all predictions, int32; those of k are bounds[k]:bounds[k+1].
        bounds: int64.
        size: pixels of the image.
        start, found: see `candidates`.
        truths: number of true pixels.

    Returns:
        (predictions, 4) int64: pairs, matchable predicted pixels, matchable true pixels, and the reachable ones of
        the smaller side (the truth's if they are equally many) as `expected_loss` takes them.
    """
    out = np.zeros((len(bounds) - 1, 4), dtype=np.int64)
    local = np.full(size, -1, dtype=np.int32)  # flat pixel -> its place in the current prediction
    partner = np.full(truths, -1, dtype=np.int32)  # true pixel -> flat pixel
    for k in range(len(bounds) - 1):
        mine = pixels[bounds[k] : bounds[k + 1]]
        n = len(mine)
        first, last = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        back = np.zeros(truths + 1, dtype=np.int64)
        matchable = 0
        for i in range(n):
            local[mine[i]] = i
            first[i], last[i] = start[mine[i]], start[mine[i] + 1]
            matchable += last[i] > first[i]
            for e in range(first[i], last[i]):
                back[found[e] + 1] += 1
        met = 0
        for t in range(truths):
            met += back[t + 1] > 0
            back[t + 1] += back[t]

        mate = np.full(n, -1, dtype=np.int32)
        true_mate = np.full(truths, -1, dtype=np.int32)
        for t in range(truths):
            if partner[t] >= 0 and local[partner[t]] >= 0:
                true_mate[t] = local[partner[t]]
                mate[true_mate[t]] = t

        if met <= matchable:
            joined = np.empty(back[-1], dtype=np.int32)
            place = back[:-1].copy()
            for i in range(n):
                for e in range(first[i], last[i]):
                    joined[place[found[e]]] = i
                    place[found[e]] += 1
            reachable = _augment(back[:-1], back[1:], joined, true_mate, mate)
        else:
            reachable = _augment(first, last, found, mate, true_mate)

        pairs = 0
        for t in range(truths):
            partner[t] = mine[true_mate[t]] if true_mate[t] >= 0 else -1
            pairs += true_mate[t] >= 0
        for i in range(n):
            local[mine[i]] = -1
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = pairs, matchable, met, reachable
    return out
