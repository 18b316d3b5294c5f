"""Mirroring, centre zoom and resizing of samples: one geometry for the image, all labels and the camera."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mtlrepro.data.sample import Sample
from mtlrepro.data.transforms.geometry import MIRROR, axis_map, kept, moved_geometry, resized_geometry

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

Tasks = Mapping[str, "Task"]

SCALES = (1.0, 1.2, 1.5)
"""Zoom factors on NYUD-v2 (MTI-Net appendix A.2, after PAD-Net), and of the random crops of MTAN, MTPSL and JTR."""


def flip_sample(sample: Sample, tasks: Tasks) -> Sample:
    """Image, labels and camera mirrored left to right; what that does to a label's values is `Task.flip`'s to know."""
    image = sample["image"]
    labels = {name: task.flip(sample[name]) for name, task in tasks.items()}
    pixel = axis_map((-1.0, image.shape[-1]), (1.0, 0.0))
    return {"image": image.flip(-1), **labels, **moved_geometry(sample, pixel, _mirrored, _mirrored, MIRROR)}


def zoom_sample(sample: Sample, scale: float, tasks: Tasks) -> Sample:
    """Zoom in about the centre; the size stays.

    Destination pixel x reads source coordinate x/s + (w/2)(1 - 1/s), and likewise y. Labels take the nearest
    pixel (ties to the even one), the image and vector labels are interpolated bilinearly. Dividing the image
    plane's coordinates by 1/s is what a camera sees when every depth is divided by s, hence
    `Task.zoom_values` divides depth by s and leaves normals alone.

    Args:
        sample: `image` and labels of one size, on one device.
        scale: s ≥ 1, so that nothing from outside the image is needed.
        tasks: the labels to keep.
    """
    if scale == 1:
        return sample
    if scale < 1:
        raise ValueError(f"zoom scale {scale} would need pixels from outside the image")
    image = sample["image"]
    h, w = image.shape[-2:]
    grid = _zoom_grid(h, w, scale, image.device)
    vectors = [name for name, task in tasks.items() if task.resampling == "bilinear"]
    # One interpolation for the image and all vector labels: small samples cost calls, not arithmetic.
    stacked = _bilinear(torch.cat([image.float(), *(sample[name] for name in vectors)]), grid)
    parts = stacked.split([3, *(len(sample[name]) for name in vectors)])
    fields = dict(zip(vectors, parts[1:], strict=True))
    out: Sample = {"image": in_dtype_of(image, parts[0])}
    for name, task in tasks.items():
        moved = sample[name].flatten(-2).index_select(-1, grid.nearest).view_as(sample[name])
        if name in fields:
            moved = renormalise(fields[name], (moved != 0).any(0))
        out[name] = task.zoom_values(moved, scale)

    def moved_image(maps: Tensor) -> Tensor:
        return in_dtype_of(maps, _bilinear(maps.float(), grid))

    def moved_depth(maps: Tensor) -> Tensor:
        return maps.flatten(-2).index_select(-1, grid.nearest).view_as(maps)

    # Pixel number n/2, whose centre is at (n + 1)/2, stays where it is.
    pixel = axis_map((scale, (1 - scale) * (w + 1) / 2), (scale, (1 - scale) * (h + 1) / 2))
    return out | moved_geometry(sample, pixel, moved_image, moved_depth, scale=scale)


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W), uint8 or float32 in [0, 1], to (3, *size), same dtype: bilinear, antialiased, half-pixel centres."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    resized = F.interpolate(image[None].float(), size=tuple(size), mode="bilinear", antialias=True)[0]
    return in_dtype_of(image, resized)


def resize_sample(sample: Sample, size: tuple[int, int], tasks: Tasks) -> Sample:
    """A sample at another size, with `image`, the labels of `tasks` and the camera only. Label values do not change.

    The image is resized by `resize_image`. Labels follow their task's `resampling`:

    - "nearest": the pixel whose area holds the destination pixel's centre.
    - "bilinear": vector labels, (0, 0, 0) = invalid. Interpolated and scaled back to unit length; invalid where
      the nearest source pixel is, so that invalid regions keep their extent and never bend a neighbour.
    - "boundary": as nearest when enlarged. When shrunk, every boundary pixel moves to the one destination pixel
      that holds its centre: no boundary is lost, and a line of one pixel stays a line of one pixel, up to the
      corners of its steps.

    Args:
        sample: `image` (3, H, W), uint8 or float32 in [0, 1], and labels of the same size.
        size: destination (height, width).
        tasks: name -> task of the labels to keep.
    """
    image = sample["image"]
    if tuple(image.shape[-2:]) == tuple(size):
        return kept(sample, tasks)
    labels = {name: _RESIZE[task.resampling](sample[name], size) for name, task in tasks.items()}
    camera = resized_geometry(sample, size, resize_image, _resize_nearest)
    return {"image": resize_image(image, size), **labels, **camera}


def in_dtype_of(image: Tensor, values: Tensor) -> Tensor:
    """Interpolated values of an image as that image has them: rounded to uint8, or cut to float32 in [0, 1]."""
    return values.round().clamp(0, 255).to(torch.uint8) if image.dtype == torch.uint8 else values.clamp(0, 1)


def _resize_nearest(label: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (_covering(n, m, label.device) for n, m in zip(label.shape[-2:], size, strict=True))
    return label.index_select(-2, rows).index_select(-1, columns)


def _resize_vectors(label: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(label[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
    return renormalise(resized, (_resize_nearest(label, size) != 0).any(0))


def _resize_boundary(label: Tensor, size: tuple[int, int]) -> Tensor:
    out = _resize_nearest(label, size)
    boundary = (label == 1).to(torch.int32)
    for dim, new in ((0, size[0]), (1, size[1])):
        old = boundary.shape[dim]
        if new >= old:
            boundary = boundary.index_select(dim, _covering(old, new, label.device))
            continue
        shape = list(boundary.shape)
        shape[dim] = new
        home = _covering(new, old, label.device)
        boundary = boundary.new_zeros(shape).index_add_(dim, home, boundary)
    return torch.where(boundary > 0, torch.ones_like(out), torch.where(out == 1, torch.zeros_like(out), out))


_RESIZE: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "nearest": _resize_nearest,
    "bilinear": _resize_vectors,
    "boundary": _resize_boundary,
}


def _covering(n: int, m: int, device: torch.device) -> Tensor:
    """For each of m destination pixels the one of n source pixels that holds its centre, in exact arithmetic."""
    return (2 * torch.arange(m, device=device) + 1) * n // (2 * m)


def renormalise(vectors: Tensor, valid: Tensor) -> Tensor:
    """Vectors (C, H, W) at unit length where `valid` (H, W) and not cancelled out, zero elsewhere."""
    squares = sum((v * v for v in vectors.unbind(0)), torch.zeros_like(vectors[0]))
    norm = squares.sqrt()
    return torch.where(valid & (norm > 1e-6), vectors / norm.clamp_min(1e-6), torch.zeros_like(vectors))


def _mirrored(maps: Tensor) -> Tensor:
    return maps.flip(-1)


class _Grid:
    """Where a zoomed map reads: flat nearest indices, and rows/columns with bilinear weights."""

    def __init__(self, h: int, w: int, scale: float, device: torch.device):
        y, x = zoom_sources(h, scale), zoom_sources(w, scale)
        rows, columns = (torch.tensor([round(v) for v in axis]) for axis in (y, x))
        self.nearest = (rows[:, None] * w + columns).flatten().to(device)
        self.rows, (low, high) = _taps(y, device)
        self.row_weights = low[:, None], high[:, None]
        self.columns, self.column_weights = _taps(x, device)


def zoom_sources(n: int, scale: float) -> list[Fraction]:
    """Exact source coordinates of n destination pixels; `round` then breaks ties to even on every machine."""
    s = Fraction(repr(scale))
    return [x / s + Fraction(n, 2) * (1 - 1 / s) for x in range(n)]


def _taps(sources: list[Fraction], device: torch.device) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    first = [math.floor(v) for v in sources]
    weight = torch.tensor([float(v - f) for v, f in zip(sources, first, strict=True)], device=device)
    low = torch.tensor(first, device=device)
    high = (low + 1).clamp_max(len(sources) - 1)
    return (low, high), (1 - weight, weight)


@functools.lru_cache(maxsize=32)
def _zoom_grid(h: int, w: int, scale: float, device: torch.device) -> _Grid:
    return _Grid(h, w, scale, device)


def _bilinear(maps: Tensor, grid: _Grid) -> Tensor:
    shape = maps.shape[-3:]
    maps = _mix([maps.index_select(-2, tap) for tap in grid.rows], grid.row_weights)
    # Along the last axis `gather` is several times faster than `index_select`.
    return _mix([maps.gather(-1, tap.expand(shape)) for tap in grid.columns], grid.column_weights)


def _mix(pair: list[Tensor], weights: tuple[Tensor, Tensor]) -> Tensor:
    # Products and sum as separate operations: no fused multiply-add, so the same bits on every machine.
    return pair[0].mul_(weights[0]).add_(pair[1].mul_(weights[1]))
