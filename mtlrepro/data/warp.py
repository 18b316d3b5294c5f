"""One frame seen from the camera of another: depth to points, points to the other picture, colours from there.

This is the geometry of self-supervised depth (Zhou et al., CVPR 2017; Godard et al., ICCV 2019), as DenseMTL's
public reference implementation has it. Intrinsics put the centre of the first pixel at (0.5, 0.5), as everywhere in
this package. Axes are x right, y down, z forward.

Everything here is differentiable with deterministic kernels on a CPU and on a GPU. PyTorch's own gradient of
`grid_sample` has none on a GPU, because it adds to the picture's gradient, which nobody needs here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

EPSILON = 1e-7
"""Metres that are added to a point's depth before it divides."""


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Points that the pixels of a depth map show.

    Args:
        depth: (B, 1, H, W) along the z axis, in any unit.
        intrinsics: (B, 3, 3), without skew.

    Returns:
        (B, 3, H, W) camera coordinates, in the unit of `depth`.
    """
    height, width = depth.shape[-2:]
    k = intrinsics.to(depth)[..., None, None]
    u = torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5
    v = torch.arange(height, dtype=depth.dtype, device=depth.device)[:, None] + 0.5
    x, y, z = (u - k[:, 0, 2]) / k[:, 0, 0], (v - k[:, 1, 2]) / k[:, 1, 1], depth[:, 0]
    return torch.stack([z * x, z * y, z], 1)


def project(points: Tensor, intrinsics: Tensor, motion: Tensor) -> Tensor:
    """Where a camera that has moved sees points.

    Args:
        points: (B, 3, H, W) in the coordinates of the camera before it moved.
        intrinsics: (B, 3, 3) of the moved camera.
        motion: (B, 4, 4), coordinates before to coordinates after.

    Returns:
        (B, H, W, 2) positions (x, y) in its picture, in pixels. Points behind the camera are mirrored through its
        centre.
    """
    matrix = intrinsics.to(points) @ motion[:, :3].to(points)
    seen = torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], points.flatten(2))
    return (seen[:, :2] / (seen[:, 2:] + EPSILON)).unflatten(2, points.shape[-2:]).movedim(1, -1)


def look_up(image: Tensor, positions: Tensor) -> Tensor:
    """Colours of a picture at positions, bilinearly between the four pixel centres around each.

    Outside of the outermost pixel centres the nearest position on them counts, without gradient. No gradient flows to
    the picture.

    Args:
        image: (B, C, H, W).
        positions: (B, h, w, 2), x and y in pixels, the centre of the first pixel at (0.5, 0.5).

    Returns:
        (B, C, h, w).
    """
    height, width = image.shape[-2:]
    x, y = positions.unbind(-1)
    grid = torch.stack([(2 * x - 1) / max(width - 1, 1) - 1, (2 * y - 1) / max(height - 1, 1) - 1], -1)
    return _Bilinear.apply(image, grid)


def warp(image: Tensor, points: Tensor, intrinsics: Tensor, motion: Tensor) -> Tensor:
    """A frame as the camera sees it that `points` belong to, if everything stands still and nothing hides anything.

    Args:
        image: (B, C, H, W) another frame.
        points: (B, 3, h, w) from `back_project`.
        intrinsics: (B, 3, 3) of the other frame.
        motion: (B, 4, 4), camera coordinates of `points` to those of the other frame.

    Returns:
        (B, C, h, w).
    """
    return look_up(image, project(points, intrinsics, motion))


def rotation_matrix(axis_angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of axes times angles in radians (..., 3), by Rodrigues' formula.

    Smooth at 0, where networks start.

    Example:
        >>> rotation_matrix(torch.tensor([0.0, 0.0, math.pi / 2])).round().int().tolist()
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    """
    angle = torch.linalg.vector_norm(axis_angle, dim=-1)[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine = torch.sinc(angle / math.pi)  # sin(a) / a
    versine = torch.sinc(angle / (2 * math.pi)).square() / 2  # (1 - cos(a)) / a²
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sine * cross + versine * (cross @ cross)


def motion_matrix(axis_angle: Tensor, translation: Tensor) -> Tensor:
    """Rigid motions (..., 4, 4) that first turn by an axis times angle (..., 3) and then add a translation (..., 3)."""
    upper = torch.cat([rotation_matrix(axis_angle), translation[..., None]], -1)
    last = torch.eye(4, dtype=upper.dtype, device=upper.device)[3:].expand(*upper.shape[:-2], 1, 4)
    return torch.cat([upper, last], -2)


def inverse_motion(motion: Tensor) -> Tensor:
    """The way back of rigid motions (..., 4, 4)."""
    back = motion[..., :3, :3].mT
    return torch.cat([torch.cat([back, -back @ motion[..., :3, 3:]], -1), motion[..., 3:, :]], -2)


class _Bilinear(torch.autograd.Function):
    """`grid_sample` (bilinear, border, aligned corners) whose gradient with respect to the grid only looks up."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(image, grid)
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        image, grid = ctx.saved_tensors
        height, width = image.shape[-2:]
        left, right, x, slope_x = _neighbours(grid[..., 0], width)
        top, bottom, y, slope_y = _neighbours(grid[..., 1], height)
        flat, channels = image.flatten(2), image.shape[1]

        def at(row: Tensor, column: Tensor) -> Tensor:
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            return flat.gather(2, index).unflatten(2, grid.shape[1:3])

        a, b, c, d = at(top, left), at(top, right), at(bottom, left), at(bottom, right)
        x, y = x[:, None], y[:, None]
        along_x = (gradient * ((b - a) * (1 - y) + (d - c) * y)).sum(1) * slope_x
        along_y = (gradient * ((c - a) * (1 - x) + (d - b) * x)).sum(1) * slope_y
        return None, torch.stack([along_x, along_y], -1)


def _neighbours(grid: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis of `size` pixels: those before and after a place (int64), its share of the way, and the slope.

    The slope is pixels a unit of the grid (-1 at the first centre, 1 at the last), 0 on the border and beyond.
    """
    place = (grid + 1) / 2 * (size - 1)
    slope = ((place > 0) & (place < size - 1)).to(grid.dtype) * ((size - 1) / 2)
    place = place.nan_to_num(0.0).clamp(0, size - 1)  # what is not a number has some colour and no slope
    before = place.floor()
    return before.long(), (before.long() + 1).clamp(max=size - 1), place - before, slope
