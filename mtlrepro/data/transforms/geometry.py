"""What a change of a sample does to its camera: intrinsics, neighbouring frames and the motions between them.

A change does three things to what a camera sees:

- the picture moves: a point p of it (homogeneous, the centre of the first pixel at (0.5, 0.5)) goes to `pixel` p;
- the camera's axes turn or are mirrored with it: a point X of the scene gets the coordinates `camera` X;
- the scene shrinks: all lengths are divided by `scale`.

So K becomes `pixel` K `camera`⁻¹, and the placement of the picture `pixel` times what it was; of a motion (R, t) the
rotation becomes `camera` R `camera`⁻¹, the translation `camera` t / `scale`. Where a zoom by s divides depth by s, as
the papers do, K follows the picture and the scene shrinks by s: every point keeps its direction as seen in the new
picture and is nearer by s, so translations are divided by s too. (Dividing depth while K stays would stretch the scene
along the optical axis: no motion would stay rigid.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from mtlrepro.data.sample import Sample

GEOMETRY = ("intrinsics", "placement", "frames", "frame_depth", "motion")
"""Keys of a sample that describe its camera; see `mtlrepro.data.sample`."""

Matrix = Sequence[Sequence[float]]
Mover = Callable[[Tensor], Tensor]
Resize = Callable[[Tensor, tuple[int, int]], Tensor]
"""Maps of some channels and a destination (height, width) -> the maps at that size."""

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
MIRROR = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""Camera axes after a mirroring from left to right."""


def moved_geometry(
    sample: Sample,
    pixel: Matrix,
    move_image: Mover,
    move_depth: Mover,
    camera: Matrix = IDENTITY,
    scale: float = 1.0,
) -> Sample:
    """Those of `GEOMETRY` that a sample has, as they are after a change of the sample.

    Args:
        sample: may hold any of `intrinsics` (3, 3), `placement` (3, 3), `frames` (K, 3, H, W), `frame_depth`
            (K, H, W) and `motion` (K, 4, 4), of any device; it is not changed.
        pixel: 3×3 map of picture coordinates, old to new; its last row is (0, 0, 1).
        move_image: what the change does to an image of any number of channels, (C, H, W).
        move_depth: where the change moves the pixels of a depth map (K, H, W); values are divided here.
        camera: 3×3 orthogonal map of scene coordinates, old to new.
        scale: what depth and lengths are divided by.
    """
    out: Sample = {}
    if "intrinsics" in sample:
        k = sample["intrinsics"]
        out["intrinsics"] = _times(camera, _times(pixel, k.double()).mT).mT.to(k.dtype)
    if "placement" in sample:
        out["placement"] = _times(pixel, sample["placement"].double()).to(sample["placement"].dtype)
    if "frames" in sample:
        frames = sample["frames"]
        moved = move_image(frames.flatten(0, 1))
        out["frames"] = moved.view(*frames.shape[:2], *moved.shape[-2:])
    if "frame_depth" in sample:
        depth = move_depth(sample["frame_depth"])
        out["frame_depth"] = depth if scale == 1 else depth / scale
    if "motion" in sample:
        motion = sample["motion"].double()
        turned = _times(camera, motion[:, :3])
        rotation = _times(camera, turned[..., :3].mT).mT
        upper = torch.cat([rotation, turned[..., 3:] / scale], -1)
        out["motion"] = torch.cat([upper, motion[:, 3:]], -2).to(sample["motion"].dtype)
    return out


def resized_geometry(
    sample: Sample, size: tuple[int, int], resize: Resize, resize_depth: Resize, scale: float = 1.0
) -> Sample:
    """`moved_geometry` where a whole picture becomes one of another (height, width)."""
    height, width = sample["image"].shape[-2:]
    pixel = axis_map((size[1] / width, 0.0), (size[0] / height, 0.0))
    return moved_geometry(sample, pixel, lambda m: resize(m, size), lambda m: resize_depth(m, size), scale=scale)


def kept(sample: Sample, tasks: Iterable[str]) -> Sample:
    """The image, the labels of `tasks` and the camera of a sample, and nothing else."""
    return {name: sample[name] for name in ("image", *tasks, *(key for key in GEOMETRY if key in sample))}


def axis_map(x: tuple[float, float], y: tuple[float, float]) -> Matrix:
    """The `pixel` map u → x₀u + x₁, v → y₀v + y₁."""
    return ((x[0], 0.0, x[1]), (0.0, y[0], y[1]), (0.0, 0.0, 1.0))


def _times(rows: Matrix, columns: Tensor) -> Tensor:
    """3×3 numbers times (..., 3, n). The numbers stay on the host: to copy them to a GPU is to wait for it."""
    first, second, third = columns.unbind(-2)
    return torch.stack([a * first + b * second + c * third for a, b, c in rows], -2)
