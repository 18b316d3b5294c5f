"""A second view of what the 3D-aware regularizer sees: depth rendered after a motion of the camera (ICLR 2024, eq. 3).

The paper renders the fields of one frame from the camera of another one and compares the rendered depth with that
frame's. It leaves open how a motion in metres acts on a box without unit; here the box is the frustum of the first
frame (`mtlrepro.data.frustum`), so that a camera that has not moved renders what the regularizer renders anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mtlrepro.data.frustum import Frustum, grid_points
from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.triplane import inside
from mtlrepro.tasks.base import Task

DEPTH = "depth"

NEEDED = ("intrinsics", "frame_depth", "motion")


class SecondView(NamedTuple):
    """What is to be rendered, and what it should look like.

    Attributes:
        points: (E, h, w, N, 3) places of the samples along the second camera's rays in the box of the first.
        deeper: (E, h, w, N) metres by which they lie deeper for the second camera than for the first.
        target: (E, 1, H, W) metres, the second frame's depth where it is in the box of the first, elsewhere 0.
    """

    points: Tensor
    deeper: Tensor
    target: Tensor


def second_view(batch: Batch, z: Tensor, near: float, far: float) -> SecondView:
    """The rays of the second frames of a batch's second stream.

    Args:
        batch: the last `batch.extra` samples belong to the second stream, and `batch.beside` has their cameras.
        z: (E, h, w, N), where the second cameras' rays sample their own boxes (`Volume.depths`).
        near: metres of a box's front face.
        far: metres of its back face.

    Raises:
        SpecError: if the batch has no sample of a second stream, or these lack a camera or one second frame's depth.
    """
    intrinsics, depth, motion = _second_frames(batch)
    frustum = Frustum(intrinsics, (depth.shape[-2], depth.shape[-1]), near, far)
    points = frustum.seen_from(grid_points(z), motion)
    deeper = frustum.depth_of(z) - frustum.depth_of(points[..., 2])
    shown = inside(frustum.seen_from(grid_points(frustum.z_of(depth)), motion))
    return SecondView(points, deeper, torch.where(shown, depth, 0.0)[:, None])


def check_second_view(way: str, rendered: Mapping[str, Task]) -> None:
    """Raise a `SpecError` unless depth of a second view can be rendered, in the way of that name, and compared."""
    field = "objective.options.cross_view"
    if DEPTH not in rendered:
        mend = f"Name {DEPTH!r} among the tasks and in `render`, or leave `cross_view` empty"
        raise SpecError(f"a second view shows depth, and rendered are {tuple(rendered)}", field=field, mend=mend)
    task = rendered[DEPTH]
    if task.info.inverse_depth:
        problem = f"motions are in metres, and depth of {task.info.name!r} is inverse depth"
        raise SpecError(problem, field=field, mend="Use a dataset of depth in metres")
    if way == "corrected" and task.chosen.decode is not None:
        problem = f"values that loss {task.loss_name!r} learns are no metres that could be corrected"
        raise SpecError(problem, field=field, mend="Use loss 'l1', or cross_view='raw'")


def _second_frames(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Intrinsics (E, 3, 3), depth (E, H, W) and motions (E, 4, 4) of the second frames."""
    mend = (
        "Give frames with one neighbour and its motion as second stream (data.extra), and recipe.extra of them a step"
    )
    if not batch.extra:
        raise SpecError("a second view is compared, and no sample has one", field="data.extra", mend=mend)
    for key in NEEDED:
        if key not in batch.beside:
            raise SpecError(f"samples of the second stream have no {key}", field="data.extra", mend=mend)
    intrinsics, depth, motion = (batch.beside[key] for key in NEEDED)
    if depth.shape[:2] != (batch.extra, 1) or motion.shape[:2] != (batch.extra, 1):
        problem = f"{batch.extra} samples have depth {tuple(depth.shape)} and motion {tuple(motion.shape)}"
        raise SpecError(problem, field="data.extra", mend=mend)
    return intrinsics, depth[:, 0], motion[:, 0]
