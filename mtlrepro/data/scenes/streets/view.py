"""The camera of a street, and which primitives matter to it."""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.streets.road import Road

CITYSCAPES = Lens(2262.52, 2048.0, 1024.0)
"""The left camera of Cityscapes."""
TINY = 0.0015
"""What is smaller than this share of its distance is left out: half a pixel of a picture 256 wide."""


def camera(road: Road, lane: float) -> np.ndarray:
    """Camera-to-world: behind the windscreen, looking along the lane."""
    g = road.g
    x, y, turn = road.at(0.0, lane + g.uniform(-0.4, 0.4))
    yaw, pitch, roll = turn + g.uniform(-0.07, 0.07) + road.bend * 12, g.uniform(0.0, 0.06), g.uniform(-0.01, 0.01)
    forward = np.array([-math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), -math.sin(pitch)])
    right = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = c * right + s * down, c * down - s * right, forward
    pose[:3, 3] = (x, y, g.uniform(1.2, 1.5))
    return pose


def useful(rows: np.ndarray, pose: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Numbers of the primitives that can be seen or cast a shadow that can, nearest first.

    Nearest first, because then much of what is far is found hidden without a look at its rays. What casts no shadow
    into the picture is marked so in `rows`.
    """
    radius = np.linalg.norm(rows[:, 4:7], axis=1) * np.maximum(1.0, rows[:, 16] + 1.0)
    seen = (rows[:, 1:4] - pose[:3, 3]) @ pose[:3, :3]
    # A shadow reaches from the object along the sun's rays to the ground.
    fall = np.maximum(rows[:, 3] + radius, 0) / sun[2]
    end = seen - fall[:, None] * (sun @ pose[:3, :3])
    casts = (rows[:, 20] > 0.5) & ~_outside(np.stack([seen, end]), radius)
    rows[:, 20] = casts
    order = np.argsort(seen[:, 2] - radius, kind="stable")
    seeable = ~_outside(seen[None], radius) & (radius > TINY * seen[:, 2])
    return order[(casts | seeable)[order]]


def _outside(points: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(N,) whether balls about all of the points (P, N, 3, camera frame) lie beyond one side of the field of view."""
    out = np.zeros(points.shape[1], bool)
    for normal in _SIDES:
        out |= (points @ normal < -radius).all(0)
    return out


def _sides() -> np.ndarray:
    """Inward normals of the planes that bound the field of view (left, right, top, bottom, camera)."""
    x, y = CITYSCAPES.width / 2 / CITYSCAPES.focal, CITYSCAPES.height / 2 / CITYSCAPES.focal
    normals = np.array([[1, 0, x], [-1, 0, x], [0, 1, y], [0, -1, y], [0, 0, 1]])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


_SIDES = _sides()
