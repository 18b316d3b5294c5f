"""What the sensors of the car record of one street: a picture, things, metric depth, a stereo disparity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.scenes.camera import intrinsics
from mtlrepro.data.scenes.labels import per_row
from mtlrepro.data.scenes.render import shade, trace
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.data.scenes.streets import labels
from mtlrepro.data.scenes.streets.classes import CLOUD

FARTHEST = 655.35
"""Metres of the sky and of whatever is farther: the most that 16 bits of centimetres hold."""


class Capture(NamedTuple):
    """One camera's view of a street.

    Attributes:
        image: (3, H, W) uint8.
        things: (H, W) uint8, positions in `mtlrepro.data.scenes.streets.classes.THINGS`.
        instances: (H, W) int32, a number for each object.
        depth: (H, W) float32 metres along the camera's z axis, everywhere, at most `FARTHEST`.
        disparity: (H, W) float32 pixels of this picture between the left and the right camera of Cityscapes, 0 where
            a stereo matcher finds none.
        intrinsics: (3, 3) float64; pixel centres are at +0.5.
        pose: (4, 4) float64 camera-to-world (x right, y down, z forward).
    """

    image: Tensor
    things: Tensor
    instances: Tensor
    depth: Tensor
    disparity: Tensor
    intrinsics: np.ndarray
    pose: np.ndarray


def capture(scene: Scene, height: int, width: int, view: int = 0, seed: int = 0) -> Capture:
    """Render one view of a street; the first shows the picture that `mtlrepro.data.scenes.streets.sample` makes.

    Args:
        scene: from `mtlrepro.data.scenes.streets.layout.layout`.
        height: pixels.
        width: pixels.
        view: number of the camera.
        seed: of the sensor noise.
    """
    pose = scene.cameras[view]
    noise = np.random.Generator(np.random.PCG64([seed, height, width] + [view] * (view > 0)))
    surface = trace(scene, pose, height, width, torch.device("cpu"))
    grain = torch.from_numpy(noise.standard_normal((3, height, width), dtype=np.float32))
    things = per_row(scene.rows[:, 19].astype(int), surface).to(torch.uint8)
    inverse = labels.inverse_depth(scene, surface, labels.semseg(scene, surface), noise)
    matrix = intrinsics(scene.lens, height, width)
    disparity = float(matrix[0, 0]) * labels.BASELINE / surface.depth
    return Capture(
        image=shade(scene, surface, grain),
        things=things,
        instances=per_row(scene.rows[:, 18].astype(int), surface),
        depth=surface.depth.masked_fill(things == CLOUD, FARTHEST).clamp_max(FARTHEST),
        disparity=disparity.masked_fill(inverse == 0, 0.0),
        intrinsics=matrix,
        pose=pose,
    )


def motion(scene: Scene, view: int) -> np.ndarray:
    """(4, 4) float64: coordinates in the first camera -> coordinates in another one."""
    return np.linalg.inv(scene.cameras[view]) @ scene.cameras[0]
