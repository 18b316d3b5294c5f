"""Non-maximum suppression of soft boundary maps, as SEISM's reader and Dollár's structured edges toolbox have it.

Orientation from second derivatives of the smoothed map (Dollár and Zitnick, PAMI 2015, sec. 3), then a comparison
with the two neighbours across the boundary.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d

from mtlrepro.metrics.boundary.jit import compiled

RADIUS = 4
"""Of the triangle filter that smooths the map before its derivatives are taken, pixels."""

MARGIN = np.float32(1.01)
"""A pixel goes only if a neighbour across the boundary is larger by this factor."""

BORDER = 5
"""Width of the band along the image's border in which values fade to zero, pixels."""

_INSIDE = np.float32(1.001)


def orientation(soft: np.ndarray) -> np.ndarray:
    """Direction across the boundary at each pixel.

    Args:
        soft: (H, W) float32 in [0, 1], H and W at least 2.

    Returns:
        (H, W) float32 radians in [0, pi], 0 along x, growing towards y (down). Smoothing is in float64, everything
        after it in float32.
    """
    taps = np.concatenate([np.arange(1, RADIUS + 1), np.arange(RADIUS + 1, 0, -1)]) / (RADIUS + 1) ** 2
    smooth = soft.astype(np.float64)
    for axis in (0, 1):
        smooth = convolve1d(smooth, taps, axis=axis, mode="reflect")
    y, x = np.gradient(smooth.astype(np.float32))
    yy = np.gradient(y, axis=0)
    xy, xx = np.gradient(x)
    angle = np.arctan(yy * np.sign(-xy) / (xx + np.float32(1e-5)))
    return np.mod(angle, np.float32(np.pi))


@compiled
def _sample(soft, x, y):
    height, width = soft.shape
    x = min(max(x, np.float32(0)), np.float32(width) - _INSIDE)
    y = min(max(y, np.float32(0)), np.float32(height) - _INSIDE)
    x0, y0 = int(x), int(y)
    right, down = x - np.float32(x0), y - np.float32(y0)
    left, up = np.float32(1) - right, np.float32(1) - down
    return (
        soft[y0, x0] * left * up
        + soft[y0, x0 + 1] * right * up
        + soft[y0 + 1, x0] * left * down
        + soft[y0 + 1, x0 + 1] * right * down
    )


@compiled
def _suppress(soft, cosine, sine):
    height, width = soft.shape
    out = np.zeros((height, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            here = soft[y, x]
            if here == 0:
                continue
            mine = here * MARGIN
            c, s = cosine[y, x], sine[y, x]
            fx, fy = np.float32(x), np.float32(y)
            if mine >= _sample(soft, fx - c, fy - s) and mine >= _sample(soft, fx + c, fy + s):
                out[y, x] = here
    return out


def suppress(soft: np.ndarray) -> np.ndarray:
    """Keep the ridges of a soft boundary map and fade its border.

    Args:
        soft: (H, W) float32 in [0, 1], H and W at least 2.

    Returns:
        (H, W) float32: the value where it is not below that of either neighbour one pixel across the boundary (by
        more than a factor 1.01), else 0; within five pixels of the border multiplied by distance / 5.
    """
    angle = orientation(soft)
    out = _suppress(soft, np.cos(angle), np.sin(angle))
    band = min(BORDER, out.shape[0] // 2, out.shape[1] // 2)
    for k in range(band):
        fade = np.float32(k) / np.float32(band)
        out[:, k] *= fade
        out[:, -1 - k] *= fade
    for k in range(band):
        fade = np.float32(k) / np.float32(band)
        out[k] *= fade
        out[-1 - k] *= fade
    return out
