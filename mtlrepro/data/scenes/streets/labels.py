"""Labels of a street: categories, inverse depth as stored by Cityscapes, normals."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.scenes import labels
from mtlrepro.data.scenes.render import Surface
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.data.scenes.streets.classes import SKY

BASELINE = 0.209313
"""Metres between the two cameras of Cityscapes."""
SCALE = 256 / 65535
"""What Cityscapes' 16-bit files store a pixel of disparity (of a picture 2048 wide) as, over their full range."""
SEARCH = 126.0
"""Pixels of disparity (of a picture 2048 wide) beyond which the matcher does not look: 0.4922, the largest value."""
FAR = 200.0
"""Metres beyond which there is no depth."""
GRAZING = 0.012
"""Cosine between surface and ray below which half of the pixels have no depth."""


def semseg(scene: Scene, surface: Surface) -> Tensor:
    """(H, W) uint8 ids of the seven categories."""
    return labels.per_row(scene.rows[:, 17].astype(int), surface).to(torch.uint8)


def normals(surface: Surface, pose: np.ndarray, ids: Tensor) -> Tensor:
    """(3, H, W) float32 unit normals in the camera frame, facing the camera; (0, 0, 0) in the sky."""
    return labels.normals(surface, pose).masked_fill(ids == SKY, 0.0)


def inverse_depth(scene: Scene, surface: Surface, ids: Tensor, noise: np.random.Generator) -> Tensor:
    """(H, W) float32 inverse depth, SCALE · focal · BASELINE / z = 1.85 m / z, in (0, 0.4922]; 0 where there is none.

    None is where a stereo matcher finds none: the sky and what is farther than `FAR` or nearer than `SEARCH` allows,
    the band at the left of near objects and of the picture that the right camera does not see, grazing surfaces,
    patches of glass, and a little speckle.
    """
    width, device = surface.depth.shape[1], surface.depth.device
    disparity = (scene.lens.focal * BASELINE) / surface.depth
    in_pixels = disparity * (width / scene.lens.width)
    column = torch.arange(width, device=device, dtype=torch.float32)
    missing = (ids == SKY) | (surface.depth > FAR) | (disparity > SEARCH) | (in_pixels > column + 1)
    for k in range(1, max(2, round(SEARCH * width / scene.lens.width)) + 1):
        missing[:, :-k] |= in_pixels[:, k:] - in_pixels[:, :-k] >= k
    missing |= labels.speckled(scene, surface, noise, GRAZING, 0.98)
    return (disparity * SCALE).masked_fill(missing, 0.0)
