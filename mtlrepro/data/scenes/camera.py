"""The pinhole camera: a lens at any picture size, rays, and screen bounds of primitives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.scenes.primitives import CAPSULE

NEAR = 0.05
"""Metres; nothing nearer is drawn."""

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_EDGES = np.array([[i, j] for i in range(8) for j in range(i + 1, 8) if bin(i ^ j).count("1") == 1])


class Lens(NamedTuple):
    """A field of view: the focal length in pixels of a sensor of so many pixels."""

    focal: float
    width: float
    height: float


KINECT = Lens(519.0, 640.0, 480.0)
"""The camera of NYUv2."""


def intrinsics(lens: Lens, height: int, width: int) -> np.ndarray:
    """(3, 3) matrix of a picture with the lens's field of view; another aspect than the sensor's stretches it."""
    fx, fy = lens.focal * width / lens.width, lens.focal * height / lens.height
    return np.array([[fx, 0, width / 2], [0, fy, height / 2], [0, 0, 1]])


def rays(lens: Lens, pose: np.ndarray, height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
    """World directions through pixel centres, three (H, W) float32 tensors; one unit is one metre of depth."""
    k = intrinsics(lens, height, width)
    x = (torch.arange(width, device=device, dtype=torch.float32) + (0.5 - k[0, 2])) * (1 / k[0, 0])
    y = (torch.arange(height, device=device, dtype=torch.float32) + (0.5 - k[1, 2])) * (1 / k[1, 1])
    r = pose[:3, :3].tolist()
    return tuple(x[None, :] * r[i][0] + (y[:, None] * r[i][1] + r[i][2]) for i in range(3))


def screen_bounds(
    lens: Lens, rows: np.ndarray, pose: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where primitives can be seen.

    Returns:
        (N, 4) pixel bounds (top, bottom, left, right; half open), empty behind the camera, and (N,) the least depth.
    """
    reach = np.ones((len(rows), 1, 3))
    capsule = rows[:, 0] == CAPSULE
    reach[capsule, 0, 2] = rows[capsule, 16] + 1.0
    widest = np.maximum(rows[:, 16], 1.0)  # a frustum that widens upwards
    reach[rows[:, 0] == 2, 0, :2] = widest[rows[:, 0] == 2, None]
    local = _CORNERS[None] * reach * rows[:, None, 4:7]
    world = local @ rows[:, 7:16].reshape(-1, 3, 3).transpose(0, 2, 1) + rows[:, None, 1:4]
    seen = (world - pose[:3, 3]) @ pose[:3, :3]
    a, b = seen[:, _EDGES[:, 0]], seen[:, _EDGES[:, 1]]
    za, zb = a[..., 2:], b[..., 2:]
    # Cut every edge at the near plane, so that a box that reaches behind the camera still has tight bounds.
    gap = np.where(np.abs(zb - za) < 1e-9, 1e-9, zb - za)
    cut = np.clip((NEAR - za) / gap, 0, 1)
    middle = a + cut * (b - a)
    points = np.concatenate([np.where(za >= NEAR, a, middle), np.where(zb >= NEAR, b, middle)], 1)
    visible = np.concatenate([np.broadcast_to((za >= NEAR) | (zb >= NEAR), za.shape)] * 2, 1)[..., 0]
    k = intrinsics(lens, height, width)
    z = np.maximum(points[..., 2], NEAR)
    u, v = points[..., 0] / z * k[0, 0] + k[0, 2], points[..., 1] / z * k[1, 1] + k[1, 2]
    with np.errstate(invalid="ignore"):
        left, right = np.where(visible, u, np.inf).min(1), np.where(visible, u, -np.inf).max(1)
        top, bottom = np.where(visible, v, np.inf).min(1), np.where(visible, v, -np.inf).max(1)
    bounds = np.stack([np.floor(top - 0.5), np.ceil(bottom + 0.5), np.floor(left - 0.5), np.ceil(right + 0.5)], 1)
    limits = np.array([height, height, width, width])
    return np.clip(np.nan_to_num(bounds, posinf=0, neginf=0), 0, limits).astype(int), z.min(1)
