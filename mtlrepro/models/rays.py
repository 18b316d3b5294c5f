"""Where the samples of rays find their features in tri-planes: few rows of a table each, and what the ray has.

A table is small, the samples are many: they are looked up for some rays at a time, and nothing of a sample is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mtlrepro.models.triplane import corners, inside, neighbours, resampled, table

Corners = Callable[[slice, slice], tuple[Tensor, Tensor]]
"""Rows (b, r, N, M) of each image's table, and their weights, of the samples of some images' and some rays."""


class Rays(NamedTuple):
    """Rays of images: a sample's feature is the weighted sum of few rows and the feature that its ray has.

    Attributes:
        rows: (B, rows, C), the table.
        base: (B or 1, R or 1, C), features of the rays.
        corners: which rows, with which weights.
        shape: (B, R, N), images, rays of an image, samples of a ray.
    """

    rows: Tensor
    base: Tensor
    corners: Corners
    shape: tuple[int, int, int]


def aligned(planes: Tensor, size: tuple[int, int], depths: Tensor) -> Rays:
    """Rays along z through the centres of a grid's cells: z is the one axis that is left to look up.

    Args:
        planes: (B, 3, C, H, W).
        size: (h, w) of the grid.
        depths: (B, h · w, N), z of the samples in [-1, 1].
    """
    (height, width), (deep, along) = size, planes.shape[-2:]
    xy, xz, yz = planes.unbind(1)
    xy, xz, yz = resampled(resampled(xy, 2, height), 3, width), resampled(xz, 3, width), resampled(yz, 2, height)
    ray = torch.arange(height * width, device=planes.device)[:, None, None]
    column, start = ray % width, deep * width + ray // width * along

    def find(images: slice, part: slice) -> tuple[Tensor, Tensor]:
        z = depths[images, part]
        (below, share), (beside, other) = neighbours(z, deep), neighbours(z, along)
        index = torch.cat((below * width + column[part], beside + start[part]), dim=-1)
        return index, torch.cat((share, other), dim=-1)

    # Channels last in memory, once: every field would make, and keep, a copy of its own.
    rows = torch.cat((xz.flatten(2), yz.flatten(2)), dim=2).mT.contiguous()
    return Rays(rows, xy.flatten(2).mT.contiguous(), find, (len(planes), height * width, depths.shape[-1]))


def free(planes: Tensor, points: Tensor) -> Rays:
    """Rays whose samples (B, R, N, 3) lie anywhere; what is found of those outside the box means nothing."""
    height, width = planes.shape[-2:]

    def find(images: slice, part: slice) -> tuple[Tensor, Tensor]:
        there = points[images, part]
        return corners(torch.where(inside(there)[..., None], there, 0), height, width)

    images, count, samples = points.shape[:3]
    rows = table(planes)
    return Rays(rows, rows.new_zeros(1, 1, rows.shape[-1]), find, (images, count, samples))
