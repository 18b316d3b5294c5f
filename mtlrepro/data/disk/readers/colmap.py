"""Sparse reconstructions in COLMAP's text format: `cameras.txt`, `images.txt` and `points3D.txt` of one folder.

Pixel coordinates are continuous, the centre of the first pixel is (0.5, 0.5). Poses map world coordinates to camera
coordinates (x right, y down, z forward). The unit of length is arbitrary: each reconstruction has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtlrepro.data.disk.arrays import check_regular
from mtlrepro.errors import DataError

FILES = ("cameras.txt", "images.txt", "points3D.txt")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        width: pixels.
        height: pixels.
        matrix: (3, 3) float64 intrinsics.
    """

    width: int
    height: int
    matrix: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A registered image.

    Attributes:
        camera: id of its camera.
        pose: (4, 4) float64, world to camera.
        points: (n,) int64 ids of the triangulated points that it shows.
        pixels: (n, 2) float64, x and y at which it shows them.
    """

    camera: int
    pose: np.ndarray
    points: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Reconstruction:
    """What COLMAP found out about one set of images.

    Attributes:
        folder: where it was read.
        cameras: by id.
        pictures: by file name, as COLMAP was given it.
        ids: (m,) int64 ids of the points, ascending.
        places: (m, 3) float64 world coordinates of the points.
    """

    folder: Path
    cameras: dict[int, Camera]
    pictures: dict[str, Picture]
    ids: np.ndarray
    places: np.ndarray

    def depths(self, name: str) -> np.ndarray:
        """(n,) depths of the points that a picture shows, in the reconstruction's unit."""
        picture = self.pictures[name]
        world = self.places[np.searchsorted(self.ids, picture.points)]
        return world @ picture.pose[2, :3] + picture.pose[2, 3]


def read(folder: Path) -> Reconstruction:
    """Read a reconstruction.

    Raises:
        DataError: a file is missing, cut short or not in the format (with the line), or the camera is no pinhole
            camera.
    """
    cameras, images, points = (folder / name for name in FILES)
    ids, places = _points(points)
    by_id = _cameras(cameras)
    pictures = dict(_pictures(images))
    for name, picture in pictures.items():
        if picture.camera not in by_id:
            problem = f"image {name!r} has camera {picture.camera}, which {cameras} does not list"
            raise DataError(problem, file=images, mend=_AGAIN)
        if not np.isin(picture.points, ids).all():
            missing = int(picture.points[~np.isin(picture.points, ids)][0])
            problem = f"image {name!r} shows point {missing}, which {points} does not list"
            raise DataError(problem, file=images, mend=_AGAIN)
    return Reconstruction(folder, by_id, pictures, ids, places)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) rotation matrix of a quaternion (w, x, y, z) of any length but 0.

    Example:
        >>> rotation(np.array([2.0, 0.0, 0.0, 2.0])).round().tolist()  # a quarter turn about z
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


_AGAIN = "Export all three files of one model again: colmap model_converter --output_type TXT"


def _cameras(file: Path) -> dict[int, Camera]:
    cameras = {}
    for number, line in _content(file, "cameras"):
        words = line.split()
        if not words:
            continue
        if len(words) > 1 and words[1] != "PINHOLE":
            mend = "Reconstruct with --ImageReader.camera_model PINHOLE, so that poses fit a camera without distortion"
            raise DataError(f"camera model {words[1]}, expected PINHOLE", file=file, field=f"line {number}", mend=mend)
        if len(words) != 8:
            raise _wrong(file, number, "expected CAMERA_ID PINHOLE WIDTH HEIGHT fx fy cx cy")
        camera, width, height = _integers(file, number, [words[0], *words[2:4]])
        fx, fy, cx, cy = _floats(file, number, words[4:])
        if min(width, height, fx, fy) <= 0:
            raise _wrong(file, number, "size and focal length must be positive")
        cameras[camera] = Camera(width, height, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
    return cameras


def _pictures(file: Path) -> Iterator[tuple[str, Picture]]:
    lines = _content(file, "images")
    seen = set()
    for number, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        if len(words) != 10:
            raise _wrong(file, number, "expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        name = words[9]
        _, camera = _integers(file, number, [words[0], words[8]])
        values = _floats(file, number, words[1:8])
        if not np.linalg.norm(values[:4]) > 0:
            raise _wrong(file, number, "the quaternion is zero")
        if name in seen:
            raise _wrong(file, number, f"image {name!r} is listed twice")
        seen.add(name)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation(values[:4]), values[4:]
        below = next(lines, None)  # may be empty, but is there
        if below is None:
            mend = f"The file is cut short. {_AGAIN}"
            raise DataError(f"no line of points follows image {name!r}", file=file, field=f"line {number}", mend=mend)
        seen_at = _floats(file, below[0], below[1].split())
        if len(seen_at) % 3:
            raise _wrong(file, below[0], f"{len(seen_at)} numbers, expected triples X Y POINT3D_ID")
        triples = seen_at.reshape(-1, 3)
        triples = triples[triples[:, 2] >= 0]  # -1: a feature that was not triangulated
        yield name, Picture(camera, pose, triples[:, 2].astype(np.int64), triples[:, :2])


def _points(file: Path) -> tuple[np.ndarray, np.ndarray]:
    ids, places = [], []
    for number, line in _content(file, "points"):
        words = line.split(maxsplit=4)[:4]
        if not words:
            continue
        if len(words) < 4:
            raise _wrong(file, number, "expected POINT3D_ID X Y Z ...")
        ids += _integers(file, number, words[:1])
        places.append(_floats(file, number, words[1:]))
    order = np.argsort(np.array(ids, np.int64), kind="stable")
    return np.array(ids, np.int64)[order], np.array(places, np.float64).reshape(-1, 3)[order]


def _content(file: Path, what: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines, without comments; checks the number that the comments promise.

    COLMAP writes a comment `# Number of images: 12, ...`. A file that holds fewer lines was cut short.
    """
    promised, held = 0, 0
    try:
        check_regular(file)
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                text = line.strip()
                if text.startswith("#"):
                    match = re.match(rf"# Number of {what}: (\d+)", text)
                    promised = int(match[1]) if match else promised
                    continue
                held += 1
                yield number, text
    except FileNotFoundError:
        raise DataError("no such file", file=file, mend=_AGAIN) from None
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise DataError(problem, file=file, mend=_AGAIN) from None
    if held < max(promised, 1) * _LINES.get(what, 1):
        promise = f"promises {promised} {what}, but " if promised else ""
        problem = f"{promise}holds {held // _LINES.get(what, 1) or 'no'} {'' if promised else what}".rstrip()
        raise DataError(problem, file=file, mend=f"The file is cut short. {_AGAIN}")


_LINES = {"images": 2}
"""Lines an entry, where it is not one."""


def _floats(file: Path, number: int, words: list[str]) -> np.ndarray:
    try:
        values = np.array(words, np.float64)
    except ValueError as error:
        raise _wrong(file, number, str(error)) from None
    if not np.isfinite(values).all():
        raise _wrong(file, number, "a number is not finite")
    return values


def _integers(file: Path, number: int, words: list[str]) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise _wrong(file, number, str(error)) from None


def _wrong(file: Path, number: int, problem: str) -> DataError:
    return DataError(problem, file=file, field=f"line {number}", mend=_AGAIN)
