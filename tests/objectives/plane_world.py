"""A world that can be drawn without a renderer: a tilted, smoothly coloured plane, seen by a camera that moves."""

import torch

from mtlrepro.data.warp import inverse_motion, motion_matrix

SIZE = (48, 64)
TURN, SHIFT = (0.02, -0.03, 0.01), (0.2, 0.1, 0.4)


def camera(size=SIZE, dtype=torch.float64):
    """(1, 3, 3) intrinsics whose principal point is not in the middle."""
    height, width = size
    rows = [[0.8 * width, 0.0, 0.52 * width], [0.0, 0.8 * width, 0.45 * height], [0.0, 0.0, 1.0]]
    return torch.tensor([rows], dtype=dtype)


def motion(sign=1.0, dtype=torch.float64):
    """(1, 4, 4) camera coordinates at the start to those after the camera has moved."""
    return motion_matrix(*(sign * torch.tensor([v], dtype=dtype) for v in (TURN, SHIFT)))


def draw(moved, size=SIZE):
    """Image (1, 3, H, W) in [0, 1] and depth (1, 1, H, W) after a motion (1, 4, 4), float64."""
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in size), indexing="ij")
    rays = torch.linalg.inv(camera(size)[0]) @ torch.stack([u, v, torch.ones_like(u)]).flatten(1)
    back = inverse_motion(moved[0].double())
    normal = torch.tensor([0.2, -0.3, 1.0], dtype=torch.float64)
    along, start = back[:3, :3] @ rays, back[:3, 3]
    depth = (6 - normal @ start) / (normal @ along)
    x, y, _ = start[:, None] + along * depth
    image = torch.stack([0.5 + 0.4 * torch.sin(2 * x + c) * torch.cos(1.5 * y - c) for c in (0, 1, 2)])
    return image.view(1, 3, *size), depth.view(1, 1, *size)


def frames(size=SIZE):
    """This image, its depth, and the images before and after (1, 2, 3, H, W)."""
    image, depth = draw(torch.eye(4)[None], size)
    return image, depth, torch.stack([draw(motion(sign), size)[0] for sign in (-1, 1)], 1)
