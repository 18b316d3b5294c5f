"""The part of a scene that a camera sees between two depths, as a box: what a picture's pixels and depths mean in it.

The 3D-aware regularizer (ICLR 2024) renders its fields along orthographic rays in the box [-1, 1]³, and compares what
it renders after a motion of the camera with a second frame, without saying how box and metres belong together. Here the
box is the view's own frustum, made straight: x and y are places in the picture, z is depth along the optical axis. So
the rays of a camera that has not moved are the orthographic ones.

Picture coordinates put the centre of the first pixel at (0.5, 0.5), as everywhere in this package. Camera axes are x
right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mtlrepro.data.warp import inverse_motion

EPSILON = 1e-6
"""Least metres that divide a point's coordinates. What is nearer than the near plane is outside of the box anyway."""


def grid_points(z: Tensor) -> Tensor:
    """Box points (B, h, w, ..., 3) at heights z (B, h, w, ...) above the centres of the cells of a grid over x and y.

    Example:
        >>> grid_points(torch.tensor([[[0.0, 1.0]]])).tolist()
        [[[[-0.5, 0.0, 0.0], [0.5, 0.0, 1.0]]]]
    """
    y, x = ((2 * torch.arange(n, dtype=z.dtype, device=z.device) + 1) / n - 1 for n in z.shape[1:3])
    rest = [1] * (z.ndim - 3)
    return torch.stack(torch.broadcast_tensors(x.view(-1, *rest), y.view(-1, 1, *rest), z), -1)


@dataclass(frozen=True)
class Frustum:
    """What cameras see between two depths; x = 2u / W - 1, y = 2v / H - 1, z = 2(d - near) / (far - near) - 1.

    Attributes:
        intrinsics: (B, 3, 3) of the pictures, without skew.
        size: (height, width) of the pictures in pixels.
        near: metres, above 0.
        far: metres, above `near`.
    """

    intrinsics: Tensor
    size: tuple[int, int]
    near: float
    far: float

    def box_points(self, points: Tensor) -> Tensor:
        """Camera coordinates (B, ..., 3) in metres to box coordinates; z < -1 where a point is not in front."""
        x, y, depth = points.unbind(-1)
        (fx, fy), (cx, cy) = self._lens(depth)
        divisor, (height, width) = depth.clamp_min(EPSILON), self.size
        u, v = fx * x / divisor + cx, fy * y / divisor + cy
        return torch.stack([2 * u / width - 1, 2 * v / height - 1, self.z_of(depth)], -1)

    def camera_points(self, box: Tensor) -> Tensor:
        """The inverse of `box_points`, for points in front of the camera."""
        x, y, z = box.unbind(-1)
        (fx, fy), (cx, cy) = self._lens(z)
        depth, (height, width) = self.depth_of(z), self.size
        u, v = (x + 1) * width / 2, (y + 1) * height / 2
        return torch.stack([depth * (u - cx) / fx, depth * (v - cy) / fy, depth], -1)

    def seen_from(self, box: Tensor, motion: Tensor) -> Tensor:
        """Box coordinates (B, ..., 3) in the frustum of a moved camera to those in the frustum of the one before.

        Args:
            box: points of the moved camera's frustum, which has the same intrinsics, size and depths.
            motion: (B, 4, 4), camera coordinates before to those after.
        """
        back, points = inverse_motion(motion.to(box)), self.camera_points(box).flatten(1, -2)
        before = torch.baddbmm(back[:, None, :3, 3], points, back[:, :3, :3].mT)
        return self.box_points(before.view(box.shape))

    def depth_of(self, z: Tensor) -> Tensor:
        """Metres of a box coordinate z."""
        return self.near + (z + 1) * ((self.far - self.near) / 2)

    def z_of(self, depth: Tensor) -> Tensor:
        """Box coordinate z of metres."""
        return (depth - self.near) * (2 / (self.far - self.near)) - 1

    def _lens(self, like: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Focal lengths and principal points, to be used with a tensor (B, ...)."""
        k = self.intrinsics.to(like).view(-1, 3, 3, *[1] * (like.ndim - 1))
        return (k[:, 0, 0], k[:, 1, 1]), (k[:, 0, 2], k[:, 1, 2])
