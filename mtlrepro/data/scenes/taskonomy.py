"""The rooms with the seven targets of Taskonomy-Tiny: four more maps, each from exact geometry or from the image.

Taskonomy (Zamir et al., CVPR 2018) published these maps as files; their public loaders standardise them by fixed
constants. The maps here have the same meaning, formulas of our own (below), and constants of our own (`STANDARD`).
All formulas use exactly rounded elementwise operations only, so the same bits come out whatever the thread count.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.dataset import Scenes

STANDARD = {
    "occlusion": (0.135, 0.21),
    "reshading": (0.69, 0.235),
    "keypoints": (0.08, 0.042),
    "texture": (0.15, 0.088),
}
"""Task -> mean and deviation of the raw map, over rooms of any size; a label is (raw - mean) / deviation."""

MASKED = ("occlusion", "reshading")
"""Maps that are NaN where the depth is invalid; the others come from the image and are valid everywhere."""

STEP = 0.05
"""Relative depth step that gives half of the strongest occlusion edge."""


class TaskonomyScenes(Scenes):
    """Procedural rooms with the targets of Taskonomy, in the order of the paper's tables.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels.
        length: number of samples.
        classes: 40 or 13, the NYUv2 label set.
        seed: another seed is another set of rooms.

    Raises:
        SpecError: unknown split, label set or a size or length below 1.
    """

    def __init__(self, split: str, size: tuple[int, int], length: int, classes: int = 40, seed: int = 0):
        super().__init__(split, size, length, classes, seed)
        self.info = dataclasses.replace(
            self.info,
            name="scenes_taskonomy",
            tasks=("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture"),
        )

    def draw(self, number: int) -> Sample:
        """The room of a number as `Scenes` draws it, with the four maps of `maps`."""
        sample = super().draw(number)
        return {**sample, **maps(sample)}


def maps(sample: Sample) -> Sample:
    """The four standardised maps, each (H, W) float32.

    Args:
        sample: a room's image, depth, depth_dense, normals and intrinsics.

    Returns:
        occlusion: strength of depth discontinuities; reshading: brightness under a lamp at the camera; keypoints:
        corners of the grey image; texture: edges of the grey image. The first two are NaN where `depth` is 0.
    """
    grey = _grey(sample["image"])
    raw = {
        "occlusion": occlusion(sample["depth_dense"]),
        "reshading": reshading(sample["normals"], sample["intrinsics"]),
        "keypoints": keypoints(grey),
        "texture": texture(grey),
    }
    invalid = sample["depth"] == 0
    out = {name: (value - STANDARD[name][0]) * (1 / STANDARD[name][1]) for name, value in raw.items()}
    return {name: v.masked_fill(invalid, float("nan")) if name in MASKED else v for name, v in out.items()}


def occlusion(depth: Tensor) -> Tensor:
    """(H, W) strength of occlusion edges in [0, 1), from dense depth (H, W) in metres.

    Inverse depth is linear in the picture on every plane, so its second difference, relative to itself, is 0 on
    planes however they slant, small in folds, and the relative depth step at an occlusion. The larger one of the two
    axes, taken over a 64th of the height, is compressed by r / (r + STEP) and smoothed.
    """
    inverse = depth.reciprocal()
    bend = torch.zeros_like(depth)
    k = max(1, round(depth.shape[0] / 64))
    bend[:, k:-k] = (inverse[:, : -2 * k] - 2 * inverse[:, k:-k] + inverse[:, 2 * k :]).abs()
    upright = (inverse[: -2 * k] - 2 * inverse[k:-k] + inverse[2 * k :]).abs()
    bend[k:-k] = torch.maximum(bend[k:-k], upright)
    relative = bend * depth
    return _smooth(relative / (relative + STEP))


def reshading(normals: Tensor, intrinsics: Tensor) -> Tensor:
    """(H, W) cosine between the surface normal and the direction to a lamp at the camera, 0 to 1.

    Args:
        normals: (3, H, W) unit, in the camera frame, facing the camera.
        intrinsics: (3, 3).
    """
    height, width = normals.shape[1:]
    (fx, _, cx), (_, fy, cy), _ = intrinsics.double().tolist()
    x = ((torch.arange(width, device=normals.device).double() + (0.5 - cx)) / fx).float()[None, :]
    y = ((torch.arange(height, device=normals.device).double() + (0.5 - cy)) / fy).float()[:, None]
    along = normals[0] * x + normals[1] * y + normals[2]
    return (-along / (x * x + y * y + 1).sqrt()).clamp_min(0)


def keypoints(grey: Tensor) -> Tensor:
    """(H, W) corner response: fourth root of the structure tensor's smaller eigenvalue (Shi and Tomasi, CVPR 1994).

    Args:
        grey: (H, W) in [0, 1].
    """
    dx, dy = _gradient(_smooth(grey))
    a, b, c = _smooth(dx * dx), _smooth(dx * dy), _smooth(dy * dy)
    gap = (a - c) * 0.5
    return ((a + c) * 0.5 - (gap * gap + b * b).sqrt()).clamp_min(0).sqrt().sqrt()


def texture(grey: Tensor) -> Tensor:
    """(H, W) root of the gradient magnitude of the smoothed image: Canny's first two steps, nothing suppressed.

    Args:
        grey: (H, W) in [0, 1].
    """
    dx, dy = _gradient(_smooth(grey))
    return (dx * dx + dy * dy).sqrt().sqrt()


def _grey(image: Tensor) -> Tensor:
    r, g, b = image.float()
    return (r * 0.299 + g * 0.587 + b * 0.114) * (1 / 255)


def _gradient(values: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, a change per 1/64 of the height, so that the size hardly matters."""
    scale = values.shape[0] / 64
    left, right = _shifted(values, 1, 1)
    above, below = _shifted(values, 0, 1)
    return (right - left) * (0.5 * scale), (below - above) * (0.5 * scale)


def _smooth(values: Tensor) -> Tensor:
    """Binomial smoothing about one 64th of the height wide: 1-2-1, then 1-0-2-0-1 ... on both axes."""
    reach = 1
    while True:
        for axis in (0, 1):
            before, after = _shifted(values, axis, reach)
            values = (before + after) * 0.25 + values * 0.5
        if reach * 128 > values.shape[0]:
            return values
        reach *= 2


def _shifted(values: Tensor, axis: int, by: int) -> tuple[Tensor, Tensor]:
    """Each pixel's neighbours `by` before and after it along an axis; outside, the border pixel."""
    size = values.shape[axis]
    at = torch.arange(size, device=values.device)
    return values.index_select(axis, (at - by).clamp_min(0)), values.index_select(axis, (at + by).clamp_max(size - 1))
