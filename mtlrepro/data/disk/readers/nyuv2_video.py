"""Video frames of NYUv2's training scenes with 8-bit depth, and pairs of them whose relative pose is known.

Frames and depth are those of the copy on Kaggle that the 3D-aware regularizer names (ICLR 2024, Table 3). Poses are the
user's own: one COLMAP reconstruction a scene, whose unit of length is found out by comparison with the depth maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk import arrays, encodings
from mtlrepro.data.disk.description import Description
from mtlrepro.data.disk.encodings import read_image, read_label
from mtlrepro.data.disk.folder import Folder, check_size
from mtlrepro.data.disk.readers import colmap
from mtlrepro.data.disk.readers.remembered import Remembered
from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError
from mtlrepro.progress import track

KINECT_SIZE = (480, 640)
KINECT_WINDOW = (45, 40, 425, 560)
"""Top, left, height and width of the part of a frame that the labelled frames of NYUv2 are cut to."""

FARTHEST = 10.0
"""Metres that the largest stored depth stands for."""

MAX_GAP = 10
"""Frames between the two of a pair at most."""

MIN_POINTS = 50
"""Triangulated points with a depth that a frame needs, so that its pose is trusted."""

MAX_SPREAD = 0.15
"""How far depth and reconstruction may disagree in a frame: median deviation from their median ratio, relative."""


class _Frames(NamedTuple):
    """The frames of one scene whose pose is known.

    Attributes:
        matrix: (3, 3) intrinsics of whole frames.
        registered: frames that the reconstruction has a pose of; 0 if there is no reconstruction.
        poses: id -> (4, 4) world to camera, metres, of those that are trusted.
    """

    matrix: np.ndarray
    registered: int
    poses: dict[str, np.ndarray]


class VideoPairs(Folder):
    """Frames of known pose, each with one further frame of its scene; cut to the window of the labelled frames.

    A sample holds `image`, `depth`, `intrinsics`, and of its partner `frames` (1, 3, H, W), `frame_depth` (1, H, W)
    and `motion` (1, 4, 4). The partner is one of the frames at most `MAX_GAP` before or behind, drawn once and for
    all for each sample (the paper does not say when pairs are drawn). Frames without a pose or without a partner are
    left out, as are those that depth and reconstruction disagree about (`MIN_POINTS`, `MAX_SPREAD`).

    The scale of a reconstruction is the median ratio of the depth of its points in the depth maps and in the
    reconstruction. Finding it reads a scene's depth maps, which takes minutes for all; `cache` remembers it.

    Args:
        description, split, root, length, cache: see `Folder`.

    Attributes:
        left_out: why frames of the copy are no samples -> how many; names the scenes that were not reconstructed.

    Raises:
        DataError: also if a scene has no folder of its own below `colmap`, or a damaged reconstruction. A scene whose
            folder is empty counts as one that could not be reconstructed.
    """

    def __init__(
        self,
        description: Description | Path | str,
        split: str,
        root: Path | str | None = None,
        length: int | None = None,
        cache: Path | str | None = None,
    ):
        self._scenes: dict[str, _Frames] = {}
        self._partners: dict[str, str] = {}
        super().__init__(description, split, root, length, cache)

    def chosen_ids(self, names: list[str]) -> list[str]:
        """Those with a pose and a partner, scene by scene and in the order of time."""
        frames: dict[str, dict[int, str]] = {}
        for name in names:
            scene, number = _scene_and_number(self.root, name)
            frames.setdefault(scene, {})[number] = name
        rules = {**self.parameters(), "description": self.description.digest()}  # which knows the unit of depth
        code = (__file__, colmap.__file__, encodings.__file__, arrays.__file__)
        known = Remembered(self.cache, "nyuv2_video-poses", self.root, rules, code)
        scenes = track(sorted(frames), len(frames), "scenes: depth compared with the reconstruction")
        try:
            self._scenes = {scene: self._frames(scene, frames[scene], known) for scene in scenes}
        finally:  # an interruption costs one scene, not all
            known.save()
        for scene, found in self._scenes.items():
            posed = {number: name for number, name in sorted(frames[scene].items()) if name in found.poses}
            for number in posed:
                partner = drawn_partner(number, posed)
                if partner is not None:
                    self._partners[posed[number]] = partner
        self.left_out = self._reasons({scene: len(there) for scene, there in frames.items()})
        if not self._partners:
            problem = f"no frame has both a trusted pose and a partner within {MAX_GAP} frames"
            mend = "Reconstruct the scenes; `mtlrepro data info nyuv2_video` shows the commands"
            raise DataError(problem, file=self.root / "colmap", mend=mend)
        return list(self._partners)

    def candidates(self, what: str, name: str) -> tuple[str, ...]:
        """As described; the files of a reconstruction belong to the scene."""
        return super().candidates(what, name.rpartition("/")[0] if what in self.description.files else name)

    def files(self) -> list[str]:
        """Also those of all partners."""
        others = dict.fromkeys(self._partners[name] for name in self.ids)
        return list(dict.fromkeys([*super().files(), *(path for other in others for path in self._pictures(other))]))

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample with its partner."""
        partner = self._partners[name]
        image, depth, corner = self._view(name)
        other_image, other_depth, _ = self._view(partner)
        scene = self._scenes[_scene_and_number(self.root, name)[0]]
        intrinsics = scene.matrix.copy()
        intrinsics[:2, 2] -= corner
        motion = scene.poses[partner] @ np.linalg.inv(scene.poses[name])
        return {
            "image": image,
            "depth": depth,
            "intrinsics": torch.from_numpy(intrinsics.astype(np.float32)),
            "frames": other_image[None],
            "frame_depth": other_depth[None],
            "motion": torch.from_numpy(motion.astype(np.float32))[None],
        }

    def partner_of(self, name: str) -> str | None:
        """The frame that a sample comes with; None for a frame that is no sample."""
        return self._partners.get(name)

    def parameters(self) -> dict[str, Any]:
        """What decides which frames there are, with which partners, and what is cut off them."""
        window = [*KINECT_WINDOW, *KINECT_SIZE]
        return {"max_gap": MAX_GAP, "min_points": MIN_POINTS, "max_spread": MAX_SPREAD, "window": window}

    def _reasons(self, frames: Mapping[str, int]) -> dict[str, int]:
        """Why frames are left out -> how many; frames: scene -> how many there are."""
        empty = [scene for scene, found in self._scenes.items() if not found.registered]
        rest = [scene for scene in frames if scene not in empty]
        posed = sum(len(found.poses) for found in self._scenes.values())
        registered = sum(found.registered for found in self._scenes.values())
        reasons = {
            f"frames of scenes without a reconstruction ({', '.join(empty)})": sum(frames[scene] for scene in empty),
            "frames that COLMAP has not registered": sum(frames[scene] for scene in rest) - registered,
            "frames whose depth disagrees with the reconstruction or is known at too few points": registered - posed,
            f"frames without another trusted pose within {MAX_GAP} frames": posed - len(self._partners),
        }
        return {reason: count for reason, count in reasons.items() if count}

    def _view(self, name: str) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Image and depth of a frame, cut, and the left and the top edge of the cut."""
        image_file, depth_file = (self.root / path for path in self._pictures(name))
        image, depth = read_image(image_file), self._depth(depth_file)
        check_size(depth, image, "depth", depth_file, image_file)
        rows, columns = kinect_window(image.shape[-2], image.shape[-1])
        corner = (columns.start, rows.start)
        return image[:, rows, columns].contiguous(), depth[rows, columns].contiguous(), corner

    def _pictures(self, name: str) -> tuple[str, str]:
        """Image and depth file of a frame, relative to the root."""
        return self.candidates("image", name)[0], self.candidates("depth", name)[0]

    def _depth(self, file: Path) -> Tensor:
        depth = read_label("depth", file, self.description.tasks["depth"], self.description)
        if float(depth.max()) > FARTHEST * 1.001:
            problem = "a PNG of 16 bits, as the copy's test frames are, whose unit is another; expected 8 bits"
            raise DataError(problem, file=file, field="depth", mend="Restore the training frame, or take it out")
        return depth

    def _frames(self, scene: str, names: Mapping[int, str], known: Remembered) -> _Frames:
        folder = PurePosixPath(self.candidates("images", f"{scene}/0")[0]).parent
        if not self.tree.entries(folder.parent.as_posix()).get(folder.name):
            mend = (
                "Reconstruct the scene with COLMAP (`mtlrepro data info nyuv2_video` shows the commands), or make an "
                "empty folder there if that came to nothing"
            )
            raise DataError(f"no reconstruction of scene {scene}", file=self.root / folder, mend=mend)
        if not self.tree.entries(folder.as_posix()):
            return _Frames(np.eye(3), 0, {})
        sources = [f"{folder}/{name}" for name in colmap.FILES]
        depths = [self._pictures(name)[1] for name in names.values()]
        value = known.get(scene, [*sources, *depths], lambda: self._posed(self.root / folder, names))
        poses = {name: np.array(pose) for name, pose in value["poses"].items()}
        return _Frames(np.array(value["matrix"]), value["registered"], poses)

    def _posed(self, folder: Path, names: Mapping[int, str]) -> dict[str, Any]:
        """Intrinsics and metric poses of a scene, as JSON values."""
        model = colmap.read(folder)
        images = folder / "images.txt"
        cameras = [model.cameras[picture.camera] for picture in model.pictures.values()]
        if any(not np.allclose(camera.matrix, cameras[0].matrix, rtol=1e-6) for camera in cameras):
            mend = "Reconstruct with --ImageReader.single_camera 1 and fixed --ImageReader.camera_params"
            raise DataError("images have different intrinsics", file=folder / "cameras.txt", mend=mend)
        poses, ratios = {}, {}
        for picture in model.pictures:
            stem = PurePosixPath(picture).stem
            name = names.get(int(stem)) if stem.isdecimal() else None
            if name is None:
                mend = "Reconstruct the frames under their own numbers, such as 37.jpg or 00037.jpg"
                raise DataError(f"image {picture!r} is no frame of this scene", file=images, mend=mend)
            file = self.root / self._pictures(name)[1]
            depth = self._depth(file).numpy()
            camera = model.cameras[model.pictures[picture].camera]
            if depth.shape != (camera.height, camera.width):
                sizes = ["x".join(map(str, size)) for size in (depth.shape, (camera.height, camera.width))]
                problem = f"depth is {sizes[0]} (height x width), but the reconstruction is of {sizes[1]} images"
                raise DataError(problem, file=file, field="depth", mend="Reconstruct the frames at their own size")
            found = scale_ratios(model, picture, depth)
            if trusted(found):
                poses[name], ratios[name] = model.pictures[picture].pose, found
        scale = metric_scale(ratios.values())
        metric = {name: np.concatenate([pose[:3, :3], pose[:3, 3:] * scale], 1) for name, pose in poses.items()}
        matrix = cameras[0].matrix if cameras else np.eye(3)
        last = [[0.0, 0.0, 0.0, 1.0]]
        return {
            "matrix": matrix.tolist(),
            "registered": len(model.pictures),
            "poses": {name: pose.tolist() + last for name, pose in metric.items()},
        }


def drawn_partner(number: int, posed: Mapping[int, str]) -> str | None:
    """One of the frames at most `MAX_GAP` before or behind a frame, all equally likely; the same whenever asked.

    Args:
        number: of the frame.
        posed: number -> id of the frames of its scene that have a trusted pose, itself among them.

    Returns:
        An id, or None if there is no such frame.
    """
    gaps = [gap for gap in range(-MAX_GAP, MAX_GAP + 1) if gap and number + gap in posed]
    return posed[number + Draws("nyuv2_video", "partner", posed[number]).choice(gaps)] if gaps else None


def kinect_window(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that frames of a size are cut to; 45 ... 469 and 40 ... 599 of 480 x 640."""
    (full_height, full_width), (top, left, rows, columns) = KINECT_SIZE, KINECT_WINDOW
    y, x = top * height // full_height, left * width // full_width
    return slice(y, y + rows * height // full_height), slice(x, x + columns * width // full_width)


def scale_ratios(model: colmap.Reconstruction, picture: str, depth: np.ndarray) -> np.ndarray:
    """Metres a unit of a reconstruction, one estimate for each point that a picture shows and depth was measured of.

    Args:
        model: the reconstruction.
        picture: a name of its `pictures`.
        depth: (H, W) metres, 0 = invalid, of the size of the camera.
    """
    x, y = np.floor(model.pictures[picture].pixels).astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (x < depth.shape[1]) & (y < depth.shape[0])
    metres = np.where(inside, depth[np.where(inside, y, 0), np.where(inside, x, 0)], 0)
    units = model.depths(picture)
    good = (metres > 0) & (units > 0)
    return metres[good] / units[good]


def trusted(ratios: np.ndarray) -> bool:
    """Whether depth and reconstruction agree about a frame: enough points, and their ratios close together."""
    if len(ratios) < MIN_POINTS:
        return False
    middle = np.median(ratios)
    return bool(np.median(np.abs(ratios - middle)) <= MAX_SPREAD * middle)


def metric_scale(ratios: Iterable[np.ndarray]) -> float:
    """Metres a unit: the median of all frames' ratios; 1 where there are none."""
    together = np.concatenate([np.empty(0), *ratios])
    return float(np.median(together)) if len(together) else 1.0


def _scene_and_number(root: Path, name: str) -> tuple[str, int]:
    scene, _, number = name.rpartition("/")
    if not scene or not number.isdecimal():
        mend = "Frames are named by number, in one folder a scene, such as kitchen_0001_out/37.jpg"
        raise DataError(f"frame {name!r} is not named <scene>/<number>", file=root, field="image", mend=mend)
    return scene, int(number)
