"""The camera of a street, and which primitives matter to it."""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.streets.road import Road, along

CITYSCAPES = Lens(2262.52, 2048.0, 1024.0)
"""The left camera of Cityscapes."""
VIRTUAL_KITTI = Lens(725.0087, 1242.0, 375.0)
"""The camera of Virtual KITTI 2."""
SYNTHIA = Lens(532.740352, 1280.0, 760.0)
"""The camera of Synthia RAND-CITYSCAPES."""
TINY = 0.0015
"""What is smaller than this share of its distance is left out: half a pixel of a picture 256 wide."""


def camera(
    road: Road, lane: float, height: tuple[float, float] = (1.2, 1.5), pitch: tuple[float, float] = (0.0, 0.06)
) -> np.ndarray:
    """Camera-to-world: looking along the lane, by default from behind a windscreen.

    Args:
        road: seen from place 0.
        lane: metres from the middle of the road to that of the lane.
        height: metres above the road, least and most.
        pitch: radians that the camera looks down, least and most.
    """
    g = road.g
    x, y, turn = road.at(0.0, lane + g.uniform(-0.4, 0.4))
    yaw, dip, roll = turn + g.uniform(-0.07, 0.07) + road.bend * 12, g.uniform(*pitch), g.uniform(-0.01, 0.01)
    forward = np.array([-math.sin(yaw) * math.cos(dip), math.cos(yaw) * math.cos(dip), -math.sin(dip)])
    right = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = c * right + s * down, c * down - s * right, forward
    pose[:3, 3] = (x, y, g.uniform(*height))
    return pose


def moved(pose: np.ndarray, distance: float, bend: float) -> np.ndarray:
    """Camera-to-world after the car has driven so many metres along its lane (negative: before), from place 0.

    Args:
        pose: at the start.
        distance: along the middle of the road.
        bend: of the road, radians a metre (`Road.bend`).
    """
    x, y, turn = along(bend, distance, pose[0, 3])
    c, s = math.cos(turn), math.sin(turn)
    out = np.eye(4)
    out[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ pose[:3, :3]
    out[:3, 3] = (x, y, pose[2, 3])
    return out


def useful(rows: np.ndarray, poses: np.ndarray, sun: np.ndarray, lens: Lens = CITYSCAPES) -> np.ndarray:
    """Numbers of the primitives that one of the cameras sees or sees a shadow of, those nearest to the first first.

    Nearest first, because then much of what is far is found hidden without a look at its rays. What casts no shadow
    into a picture is marked so in `rows`.
    """
    radius = np.linalg.norm(rows[:, 4:7], axis=1) * np.maximum(1.0, rows[:, 16] + 1.0)
    casts, seeable = np.zeros((2, len(rows)), bool)
    for pose in poses:
        seen = (rows[:, 1:4] - pose[:3, 3]) @ pose[:3, :3]
        # A shadow reaches from the object along the sun's rays to the ground.
        fall = np.maximum(rows[:, 3] + radius, 0) / sun[2]
        end = seen - fall[:, None] * (sun @ pose[:3, :3])
        casts |= (rows[:, 20] > 0.5) & ~_outside(_inside(np.stack([seen, end]), lens), radius)
        seeable |= ~_outside(_inside(seen[None], lens), radius) & (radius > TINY * seen[:, 2])
    rows[:, 20] = casts
    depth = ((rows[:, 1:4] - poses[0][:3, 3]) @ poses[0][:3, :3])[:, 2]
    order = np.argsort(depth - radius, kind="stable")
    return order[(casts | seeable)[order]]


def _outside(inside: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(N,) whether balls about all of the points (P, N) lie beyond one side of the field of view (see `_inside`)."""
    return np.any((inside < -radius[:, None]).all(0), axis=-1)


def _inside(points: np.ndarray, lens: Lens) -> np.ndarray:
    """(P, N, 5) metres that points (P, N, 3, camera frame) lie inside of the planes that bound the field of view:
    left, right, top, bottom, camera."""
    x, y = lens.width / 2 / lens.focal, lens.height / 2 / lens.focal
    normals = np.array([[1, 0, x], [-1, 0, x], [0, 1, y], [0, -1, y], [0, 0, 1]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.stack([points @ normal for normal in normals], -1)
