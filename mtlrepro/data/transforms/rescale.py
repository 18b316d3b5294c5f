"""Rescaling of native samples by a random factor, as InvPT, ATRC and the 3D-aware regulariser train.

The figures of OpenCV: bilinear without antialiasing for the image, the floored nearest pixel for every label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtlrepro.data.sample import Sample
from mtlrepro.data.transforms.geometry import resized_geometry

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

FACTORS = (0.5, 2.0)
"""Between which the factor is drawn, uniformly."""


def rescale_sample(sample: Sample, scale: float, tasks: Mapping[str, Task]) -> Sample:
    """A sample at ⌊scale·height⌋ × ⌊scale·width⌋, with `image`, the labels of `tasks` and the camera only.

    Every label, thin edges and normals too, takes the nearest pixel (`resize_floored`), and depth is divided by the
    scale (`Task.zoom_values`). 8-bit images are cut off, not rounded, to 8 bits: the public reference implementation
    does that just before its colour operations, which comes to the same.

    Args:
        sample: `image` (3, H, W), uint8 or float32 in [0, 1], and labels of the same size.
        scale: above 1 / min(H, W).
        tasks: name -> task of the labels to keep.
    """
    height, width = sample["image"].shape[-2:]
    size = int(height * scale), int(width * scale)
    labels = {name: task.zoom_values(resize_floored(sample[name], size), scale) for name, task in tasks.items()}
    camera = resized_geometry(sample, size, _resize_image, resize_floored, scale)
    return {"image": _resize_image(sample["image"], size), **labels, **camera}


def resize_linear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w) float maps at size (H, W), bilinearly, with half-pixel centres and without antialiasing.

    Columns first, then rows; each product and sum is rounded by itself, so a GPU gives the bits of a CPU.
    """
    for dim, new in ((-1, size[1]), (-2, size[0])):
        low, high, weight = _taps(maps.shape[dim], new, maps.device)
        weight = weight if dim == -1 else weight[:, None]
        maps = maps.index_select(dim, low).mul_(1 - weight).add_(maps.index_select(dim, high).mul_(weight))
    return maps


def resize_floored(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (..., h, w) of any dtype at size (H, W): row i shows row ⌊i·h/H⌋ in double precision, likewise columns.

    As in OpenCV, the step between rows is 1 / (H/h), rounded twice: where i·h/H is whole, it may be the row before.
    """
    for dim, new in ((-1, size[1]), (-2, size[0])):
        old = maps.shape[dim]
        places = torch.arange(new, dtype=torch.float64, device=maps.device) * (1 / (new / old))
        maps = maps.index_select(dim, places.floor().long().clamp_max(old - 1))
    return maps


def _resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    values = resize_linear(image.float(), size)
    return values.to(torch.uint8) if image.dtype == torch.uint8 else values


def _taps(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of m pixels the two of n that it lies between, and how near it is to the second."""
    double = (2 * torch.arange(m, device=device) + 1) * n - m  # 2m times the source coordinate, exactly
    double = double.clamp(0, 2 * m * (n - 1))
    low = double // (2 * m)
    weight = ((double - 2 * m * low).double() / (2 * m)).float()
    return low, (low + 1).clamp_max(n - 1), weight
