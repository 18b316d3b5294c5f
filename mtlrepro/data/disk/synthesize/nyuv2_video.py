"""Video frames of NYUv2's training scenes as the copy on Kaggle has them, reconstructed as if by COLMAP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation, Slerp

from mtlrepro.data.disk.synthesize.base import Writer, channels_last, whole
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError

LENGTH = 8
"""Frames a scene."""

UNIT = 10 / 255
"""Metres a stored 1."""

WINDOW = (45, 40, 425, 560)
"""Top, left, height and width of what readers keep of a frame of 480 x 640."""

POINTS = 200
"""Points that are triangulated from each frame."""

SEEN = 0.02
"""A point is seen in another frame if its depth there is off by no more, relatively: else something hides it."""


class VideoScenes(Writer):
    """Camera paths through rooms: JPEG frames, 8-bit depth, and a reconstruction of each path.

    The last frame of each path is on disk as all others, but was not registered.
    """

    native: ClassVar[tuple[int, int]] = (480, 640)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Registered frames as readers cut them, each with its pose in place of its partner."""
        top, left, rows, columns = (
            part * side // full for part, side, full in zip(WINDOW, self.size * 2, (480, 640, 480, 640), strict=True)
        )
        for scene, frames, _ in self.paths(split, n):
            for number, frame in frames.items():
                intrinsics = frame["intrinsics"].clone()
                intrinsics[:2, 2] -= torch.tensor([left, top])
                cut = {key: frame[key][..., top : top + rows, left : left + columns] for key in ("image", "depth")}
                yield f"{scene}/{number}", {**cut, "intrinsics": intrinsics, "pose": frame["pose"]}

    def write(self, split: str, n: int) -> Iterator[None]:
        """Also the copy's list of frames."""
        rows = []
        for scene, frames, lost in self.paths(split, n):
            for number, frame in (frames | lost).items():
                place = f"data/nyu2_{split}/{scene}/{number}"
                image = Image.fromarray(channels_last(frame["image"]))
                image.save(self.place(f"{place}.jpg"), quality=95, subsampling=0)
                self.png(f"{place}.png", whole(frame["depth"] / UNIT, 0, 255))
                rows.append(f"{place}.jpg,{place}.png")
            generator = np.random.Generator(np.random.PCG64([self.seed, *scene.encode()]))
            for name, lines in reconstruction(frames, generator).items():
                self.lines(f"colmap/{scene}/{name}", lines)
            self.lines(f"data/nyu2_{split}.csv", rows)
            yield from [None] * len(frames)

    def paths(self, split: str, n: int) -> Iterator[tuple[str, dict[int, Sample], dict[int, Sample]]]:
        """Name, frames by number, and the one frame that was lost, of each scene.

        Frames hold what `mtlrepro.data.scenes.sample.render` gives, `pose` among it.

        Raises:
            SpecError: for a single sample, which would have no partner.
        """
        if n < 2:
            mend = "Give at least 2: every frame needs a partner"
            raise SpecError(f"{n} samples", file="nyuv2_video", field=split, mend=mend)
        lengths = [LENGTH] * (n // LENGTH) + [n % LENGTH] * (n % LENGTH > 1)
        lengths[-1] += n % LENGTH == 1
        for i, (number, length) in enumerate(zip(self.numbers(split, n), lengths, strict=False)):
            room = layout(self.seed, number)
            room = replace(room, cameras=camera_path(room.cameras, LENGTH + 2))
            frames = {j + 1: render(room, *self.size, view=j, seed=number) for j in range(length + 1)}
            lost = {length + 1: frames.pop(length + 1)}
            yield f"room_{i:04d}_out", frames, lost


def camera_path(cameras: np.ndarray, n: int) -> np.ndarray:
    """n poses (n, 4, 4) on the way from each camera (V, 4, 4) to the next, evenly in time."""
    times, keys = np.linspace(0, len(cameras) - 1, n), np.arange(len(cameras))
    path = np.tile(np.eye(4), (n, 1, 1))
    path[:, :3, :3] = Slerp(keys, Rotation.from_matrix(cameras[:, :3, :3]))(times).as_matrix()
    for axis in range(3):
        path[:, axis, 3] = np.interp(times, keys, cameras[:, axis, 3])
    return path


def reconstruction(frames: Mapping[int, Sample], g: np.random.Generator) -> dict[str, list[str]]:
    """COLMAP's text files: name -> lines. World coordinates are turned, moved and scaled at random.

    Args:
        frames: rendered frames by number.
        g: source of the points and of the world coordinates.
    """
    height, width = next(iter(frames.values()))["depth"].shape
    k = next(iter(frames.values()))["intrinsics"].double().numpy()
    poses = {number: frame["pose"].double().numpy() for number, frame in frames.items()}
    depths = {number: frame["depth_dense"].double().numpy() for number, frame in frames.items()}
    world = np.concatenate([_surface_points(k, poses[number], depths[number], g) for number in frames])
    quaternion, shift, scale = g.standard_normal(4), g.uniform(-3, 3, 3), g.uniform(0.2, 5)
    turn = Rotation.from_quat(quaternion).as_matrix()
    images = [f"# Number of images: {len(frames)}, mean observations per image: {POINTS}"]
    for i, number in enumerate(frames, 1):
        rotation = poses[number][:3, :3].T @ turn.T
        translation = scale * -(rotation @ (turn @ poses[number][:3, 3] + shift))
        x, y, z, w = Rotation.from_matrix(rotation).as_quat()
        images.append(f"{i} {_text(w, x, y, z, *translation)} 1 {number:05d}.jpg")
        seen = _observations(k, poses[number], depths[number], world)
        images.append(" ".join([*(f"{u:.3f} {v:.3f} {point + 1}" for point, u, v in seen), "1.5 2.5 -1"]))
    moved = scale * (world @ turn.T + shift)
    return {
        "cameras.txt": [
            "# Number of cameras: 1",
            f"1 PINHOLE {width} {height} {_text(*k[[0, 1, 0, 1], [0, 1, 2, 2]])}",
        ],
        "images.txt": images,
        "points3D.txt": [
            f"# Number of points: {len(moved)}, mean track length: 1",
            *(f"{i} {_text(*place)} 128 128 128 0.5 1 0" for i, place in enumerate(moved, 1)),
        ],
    }


def _surface_points(k: np.ndarray, pose: np.ndarray, depth: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """(POINTS, 3) world coordinates of what random pixels show."""
    y, x = np.divmod(g.integers(depth.size, size=POINTS), depth.shape[1])
    rays = np.stack([x + 0.5, y + 0.5, np.ones(POINTS)], 1) @ np.linalg.inv(k).T
    return (rays * depth[y, x, None]) @ pose[:3, :3].T + pose[:3, 3]


def _observations(
    k: np.ndarray, pose: np.ndarray, depth: np.ndarray, world: np.ndarray
) -> Iterator[tuple[int, float, float]]:
    """Number, x and y of the points that a frame shows."""
    camera = (world - pose[:3, 3]) @ pose[:3, :3]
    z = np.maximum(camera[:, 2], 1e-6)
    u, v = (camera @ k.T)[:, :2].T / z
    x, y = np.floor(u).astype(int), np.floor(v).astype(int)
    inside = (camera[:, 2] > 0) & (x >= 0) & (y >= 0) & (x < depth.shape[1]) & (y < depth.shape[0])
    for i in np.flatnonzero(inside):
        if abs(depth[y[i], x[i]] / z[i] - 1) <= SEEN:
            yield int(i), float(u[i]), float(v[i])


def _text(*numbers: float) -> str:
    return " ".join(repr(float(number)) for number in numbers)
