"""Which other view of a room goes with a view of it."""

from __future__ import annotations

import numpy as np
import torch

from mtlrepro.data.draws import Draws
from mtlrepro.data.scenes.camera import NEAR, intrinsics
from mtlrepro.data.scenes.render import Surface, trace
from mtlrepro.data.scenes.scene import Scene

OVERLAP = 0.3
"""Share of a view's pixels that a partner must see too. All but 3 of 1000 pairs of a room's views do."""

COARSE = (24, 32)
"""Height and width at which that is judged, whatever the size of a sample: it has the same partner at every size."""

TOLERANCE = 1.05
"""A point is hidden where the other view is nearer by more than this factor."""


def partner(scene: Scene, draws: Draws, view: int = 0) -> int:
    """One of the other views, all equally likely among those that share enough of this one (`OVERLAP`).

    Where none does, it is the view from the nearest camera.

    Args:
        scene: with two cameras at least.
        draws: where the number comes from.
        view: camera of the scene.
    """
    device = torch.device("cpu")
    here = trace(scene, scene.cameras[view], *COARSE, device)
    left = [other for other in range(len(scene.cameras)) if other != view]
    others = list(left)
    while left:
        other = draws.choice(left)
        if shared(scene, here, trace(scene, scene.cameras[other], *COARSE, device), scene.cameras[other]) >= OVERLAP:
            return other
        left.remove(other)
    away = [float(np.linalg.norm(scene.cameras[i][:3, 3] - scene.cameras[view][:3, 3])) for i in others]
    return others[int(np.argmin(away))]


def shared(scene: Scene, here: Surface, there: Surface, pose: np.ndarray) -> float:
    """Share of a view's pixels whose surface another view of the same size sees too.

    Args:
        scene: its lens is that of both views.
        here: what the first view sees.
        there: what the other one sees.
        pose: (4, 4) camera-to-world, of the other one.
    """
    height, width = there.depth.shape
    offset = [p.double() - float(c) for p, c in zip(here.point, pose[:3, 3], strict=True)]
    r = pose[:3, :3].tolist()
    x, y, z = (offset[0] * r[0][j] + offset[1] * r[1][j] + offset[2] * r[2][j] for j in range(3))
    k = intrinsics(scene.lens, height, width)
    before = z > NEAR
    z = torch.where(before, z, torch.ones_like(z))
    column, row = (x / z * k[0, 0] + k[0, 2]).floor().long(), (y / z * k[1, 1] + k[1, 2]).floor().long()
    inside = before & (column >= 0) & (row >= 0) & (column < width) & (row < height)
    surface = there.depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return float((inside & (z < surface * TOLERANCE)).double().mean())
