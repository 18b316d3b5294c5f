"""Rotation and scaling about the centre, as MTI-Net, ASTMT and MT-CP train on PASCAL-Context.

The picture keeps its size. What comes from outside of it is black in the image and background, not ignored, in labels
of classes; depth, normals and standardised maps are invalid there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mtlrepro.data.sample import Sample, scaled
from mtlrepro.data.transforms.basic import renormalise
from mtlrepro.data.transforms.geometry import moved_geometry

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

DEGREES = (-20.0, 20.0)
"""Between which the angle is drawn, uniformly."""

FACTORS = (0.75, 1.25)
"""Between which the scale is drawn, uniformly."""

SHARPNESS = -0.75
"""Slope of the cubic kernel at distance 1, as OpenCV and torch have it."""


def rotate_sample(sample: Sample, degrees: float, scale: float, tasks: Mapping[str, Task]) -> Sample:
    """A sample rotated counter-clockwise and enlarged about the centre; its size stays.

    The centre is pixel number (w/2, h/2), half a pixel right of and below the middle, as in the public reference
    implementation. The image and vector labels are interpolated cubically, all other labels take the nearest pixel
    (ties to the even one); thin edges may break, as they do there. Vectors turn with the picture, are scaled back to
    unit length, and are invalid where the nearest source pixel is. Depth is divided by the scale (`Task.zoom_values`).

    A label without a valid pixel stays so: its border does not become background.

    Args:
        sample: `image` (3, H, W), uint8 or float32 in [0, 1], and labels of the same size.
        degrees: angle of the rotation.
        scale: above 0; below 1 the whole picture is seen, and a border around it.
        tasks: name -> task of the labels to keep.

    Returns:
        `image` float32 in [0, 1], the labels of `tasks` and the camera. Where focal lengths differ along the axes, the
        intrinsics of a rotated sample are no longer triangular, but map rays to pixels as they should.
    """
    image = sample["image"]
    grid = _Grid(image.shape[-2:], degrees, scale, image.device)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    vectors = [name for name, task in tasks.items() if task.resampling == "bilinear"]
    turned = {name: _turned(sample[name], cos, sin) for name in vectors}
    stacked = grid.cubic(torch.cat([scaled(image), *turned.values()]))
    parts = stacked.split([3, *(len(turned[name]) for name in vectors)])
    fields = dict(zip(vectors, parts[1:], strict=True))
    out: Sample = {"image": parts[0].clamp(0, 1)}
    for name, task in tasks.items():
        moved = grid.nearest(sample[name], _outside(sample[name], task))
        if name in fields:
            moved = renormalise(fields[name], (moved != 0).any(0))
        out[name] = task.zoom_values(moved, scale)
    return out | moved_geometry(
        sample,
        grid.pixel,
        lambda maps: grid.cubic(scaled(maps)).clamp(0, 1),
        lambda maps: grid.nearest(maps, 0.0),
        camera=((cos, sin, 0.0), (-sin, cos, 0.0), (0.0, 0.0, 1.0)),
        scale=scale,
    )


def cubic_weights(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of the pixels -1, 0, 1 and 2 for a place t in [0, 1) behind pixel 0; they add up to 1."""

    def far(d: Tensor) -> Tensor:
        return ((d - 5) * d + 8) * d * SHARPNESS - 4 * SHARPNESS

    def near(d: Tensor) -> Tensor:
        return ((SHARPNESS + 2) * d - (SHARPNESS + 3)) * d * d + 1

    first, second, third = far(t + 1), near(t), near(1 - t)
    return first, second, third, 1 - first - second - third


def _turned(vectors: Tensor, cos: float, sin: float) -> Tensor:
    x, y, z = vectors
    return torch.stack([x * cos + y * sin, y * cos - x * sin, z])


def _outside(label: Tensor, task: Task) -> Tensor | float:
    """What a label holds beyond its border: class 0, or no valid pixel."""
    invalid = task.unlabelled((1, 1)).flatten()[0].item()
    if label.dtype != torch.uint8:
        return invalid
    return torch.where((label != invalid).any(), 0, invalid).to(torch.uint8)


class _Grid:
    """Where each pixel of a rotated map of size (h, w) reads; a ring of border pixels around the map is pixel -1 and h.

    All places are computed in float64 by single products and sums, so a GPU reads what a CPU reads.
    """

    def __init__(self, size: torch.Size, degrees: float, scale: float, device: torch.device):
        self.h, self.w = size
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        x = torch.arange(self.w, dtype=torch.float64, device=device) - self.w / 2
        y = torch.arange(self.h, dtype=torch.float64, device=device)[:, None] - self.h / 2
        self.x = x * (cos / scale) - y * (sin / scale) + self.w / 2
        self.y = x * (sin / scale) + y * (cos / scale) + self.h / 2
        a, b = scale * cos, scale * sin
        u, v = (self.w + 1) / 2, (self.h + 1) / 2  # where the centre of the fixed pixel lies
        self.pixel = ((a, b, u - a * u - b * v), (-b, a, v + b * u - a * v), (0.0, 0.0, 1.0))

    def nearest(self, maps: Tensor, outside: Tensor | float) -> Tensor:
        """Maps (..., h, w) of any dtype, each pixel the nearest one's or `outside`."""
        places, inside = self._closest
        moved = maps.flatten(-2).index_select(-1, places).view_as(maps)
        return torch.where(inside, moved, outside)

    @functools.cached_property
    def _closest(self) -> tuple[Tensor, Tensor]:
        """(h·w,) numbers of the nearest pixels, and (h, w) bool, where there is one; the same for every label."""
        x, y = self.x.round().long(), self.y.round().long()
        inside = (x >= 0) & (x < self.w) & (y >= 0) & (y < self.h)
        places = y.clamp_(0, self.h - 1).mul_(self.w).add_(x.clamp_(0, self.w - 1))
        return places.flatten(), inside

    def cubic(self, maps: Tensor) -> Tensor:
        """Float maps (C, h, w), each pixel a weighted sum of 4×4 pixels, those outside being 0."""
        ringed = F.pad(maps, (1, 1, 1, 1)).flatten(1)
        x, y = self.x.floor(), self.y.floor()
        columns = [(x.long() + k).clamp(0, self.w + 1).flatten() for k in range(4)]
        rows = [(y.long() + k).clamp(0, self.h + 1).flatten() * (self.w + 2) for k in range(4)]
        across, down = (cubic_weights((at - low).float().flatten()) for at, low in ((self.x, x), (self.y, y)))
        out = maps.new_zeros(len(maps), self.h * self.w)
        for row, weight in zip(rows, down, strict=True):
            line = torch.zeros_like(out)
            for column, share in zip(columns, across, strict=True):
                # Along the last axis `gather` is several times faster than `index_select`.
                line.add_(ringed.gather(1, (row + column).expand(len(maps), -1)).mul_(share))
            out.add_(line.mul_(weight))
        return out.view_as(maps)
