"""Cityscapes (Cordts et al., CVPR 2016), the raw release: fine labels, stereo disparity, camera files."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from mtlrepro.data.disk.arrays import check_regular, read_pixels
from mtlrepro.data.disk.encodings import SIXTEEN_BITS, read_image
from mtlrepro.data.disk.folder import check_size
from mtlrepro.data.disk.readers.outdoor import Groups, Outdoor, SizeOption, size_of
from mtlrepro.data.disk.readers.resizing import lanczos
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError, SpecError, unknown

SMALL = (512, 1024)
"""Height and width of the copies of pictures that lie in folders named `..._small`."""

SIXTEEN = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "sky", "person", "rider", "car", "bus", "motorcycle", "bicycle"),
)
"""The classes that Synthia has too: without terrain, truck and train."""

EIGHT = {
    "road": ("road",),
    "building": ("building",),
    "pole": ("pole",),
    "traffic light": ("traffic light",),
    "traffic sign": ("traffic sign",),
    "vegetation": ("vegetation",),
    "sky": ("sky",),
    "vehicle": ("car", "bus"),
}
"""The classes that Virtual KITTI 2 has too (DenseMTL, table 8)."""


class Wall(NamedTuple):
    """What becomes of walls among 8 classes: classes that join vegetation, and what a report says of that."""

    vegetation: tuple[str, ...]
    says: str


WALLS = {
    "ignore": Wall((), "as in the public code, unlike in the paper's table 8"),
    "vegetation": Wall(("wall",), "as in the paper's table 8, unlike in the public code"),
}
"""Walls are nothing in the public reference implementation, and vegetation in DenseMTL, table 8."""


SMALLEST, LARGEST = 1e-6, 1e6
"""Numbers of a camera file lie between, whether metres or pixels."""


class Cityscapes(Outdoor):
    """One split: class ids, depth from disparity, normals from depth.

    Pictures come from `leftImg8bit_small` where `size` is 512x1024 and they are there (copies resized by Lanczos and
    stored as JPEG, which the public reference implementation of DenseMTL trains on), else from `leftImg8bit`, resized
    by Lanczos when read: these lack the traces of JPEG, and take several times as long.

    A disparity file holds p = 256 d + 1 with d in pixels of the full-resolution picture; where p is 0 or 1 there is
    no depth. Depth is baseline times focal length over d, both from the picture's camera file.

    Args:
        size: (height, width) of the samples; None keeps that of the files.
        normals: "released", as the public reference implementation makes them: from inverse depth with intrinsics that
            are not scaled, those of one camera for all pictures; "metric": correct geometry, with each picture's camera
            (`mtlrepro.data.surface`). Errors of the two cannot be compared.
        classes: 16, 19 or 8.
        wall: "ignore" or "vegetation", what becomes of walls among 8 classes.
        description, split, root, length, cache: see `Folder`.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`.
    """

    CLASS_SETS = {16: {name: (name,) for name in SIXTEEN}, 19: None, 8: EIGHT}
    CLASSES = 16
    NEAREST = "centre"
    PICTURES: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(
        self,
        *args: Any,
        size: SizeOption = None,
        normals: str = "released",
        classes: int = CLASSES,
        wall: str = "ignore",
        **options: Any,
    ):
        self.wall = wall
        super().__init__(*args, size=size, normals=normals, classes=classes, **options)

    @classmethod
    def groups(cls, **options: Any) -> Groups | None:
        """How the chosen classes are made of the 19; see `Outdoor.groups`."""
        groups, wall = super().groups(**options), options.get("wall", "ignore")
        if wall not in WALLS:
            raise unknown("place for walls", wall, WALLS, field="wall")
        if not WALLS[wall].vegetation:
            return groups
        if groups is not EIGHT:
            problem = f"{wall!r} has a meaning among 8 classes only"
            raise SpecError(problem, field="wall", mend="Leave it out, or ask for 8 classes")
        return {**EIGHT, "vegetation": (*EIGHT["vegetation"], *WALLS[wall].vegetation)}

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on, given the reader's options; see `Outdoor.remark`."""
        said, groups, wall = super().remark(**options), cls.groups(**options), options.get("wall", "ignore")
        if groups is None or groups.keys() != EIGHT.keys():
            return said
        return f"{said}, wall={wall} ({WALLS[wall].says})"

    def parameters(self) -> dict[str, Any]:
        """Options of the reader that change samples."""
        return {**super().parameters(), "wall": self.wall}

    def found_ids(self) -> list[str]:
        """City and number of every picture with labels: pictures may lie in two places, labels lie in one."""
        before, after = self._patterns["semseg"][0].split("{id}")
        files = self.tree.files(before.rstrip("/"))
        names = [file[len(before) : len(file) - len(after)] for file in files if file.endswith(after)]
        if not names:
            sought = f"{before}city/city_000000_000000{after}"
            problem = f"no labels of the {self.split} split; {self.tree.instead(sought)}"
            mend = "Unpack gtFine_trainvaltest.zip there"
            raise DataError(problem, file=self.root / before, field="semseg", mend=mend)
        return sorted(names)

    def candidates(self, what: str, name: str) -> tuple[str, ...]:
        """Copies of pictures at 512x1024 come first where that is the size asked for."""
        paths = super().candidates(what, name)
        return (*(copy for path in paths for copy in small_copies(path)), *paths) if self._may_be_small(what) else paths

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample at the reader's size."""
        ids, depth = self.stored_classes(files), self.stored_depth(files)
        check_size(depth, ids, "disparity", files["disparity"], files["semseg"])
        return self.assembled(self.picture(files["image"], depth, files["disparity"]), ids, depth, files)

    def picture(self, file: Path, depth: Tensor, depth_file: Path) -> Tensor:
        """A picture at the reader's size; it must be as large as the depth map, or a small copy."""
        image = read_image(file)
        if not (_is_small(file, self.root) and size_of(image) == SMALL):
            check_size(depth, image, "disparity", depth_file, file)
        return lanczos(image, self.size or size_of(image))

    def stored_depth(self, files: Mapping[str, Path]) -> Tensor:
        """(H, W) float32 metres as stored, 0 = invalid."""
        camera, codes = read_camera(files["camera"]), _codes(files["disparity"])
        return disparity_to_depth(codes, camera["baseline"] * camera["fx"])

    def camera(self, files: Mapping[str, Path], stored: tuple[int, int]) -> Mapping[str, float]:
        """That of the description for "released"; "metric" takes the picture's camera file."""
        if self.normals == "released":
            return super().camera(files, stored)
        camera = read_camera(files["camera"])
        # Camera files count from the centre of the first pixel.
        centre = {"cx": camera["u0"] + 0.5, "cy": camera["v0"] + 0.5}
        return {**camera, **centre, "width": stored[1], "height": stored[0]}

    def _may_be_small(self, what: str) -> bool:
        return what in self.PICTURES and self.size == SMALL


def small_copies(path: str) -> tuple[str, ...]:
    """Where copies of a picture at 512x1024 may lie.

    Example:
        >>> small_copies("leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png")[0]
        'leftImg8bit_small/train/ulm/ulm_000000_000019_leftImg8bit.jpg'
    """
    folder, _, rest = path.partition("/")
    return tuple(str(PurePosixPath(f"{folder}_small", rest).with_suffix(suffix)) for suffix in (".jpg", ".png"))


def disparity_to_depth(codes: Tensor, baseline_focal: float) -> Tensor:
    """Metres from what disparity files hold.

    Args:
        codes: (H, W) integers, 256 times pixels of disparity, plus 1; 0 and 1 are invalid.
        baseline_focal: baseline in metres times focal length in pixels of the same picture.

    Returns:
        (H, W) float32, 0 = invalid.
    """
    steps = codes.to(torch.float64) - 1
    return torch.where(steps > 0, baseline_focal * 256 / steps.clamp_min(1), 0.0).to(torch.float32)


def read_camera(file: Path) -> dict[str, float]:
    """Baseline (metres), fx, fy, u0 and v0 (pixels of the full-resolution picture) of a camera file.

    Raises:
        DataError: missing, not JSON, or without one of them.
    """
    try:
        check_regular(file)
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", file=file, mend="Unpack camera_trainvaltest.zip") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON ({error})", file=file, mend="Restore it") from None
    camera = {}
    for table, keys in (("extrinsic", ("baseline",)), ("intrinsic", ("fx", "fy", "u0", "v0"))):
        entries = value.get(table) if isinstance(value, dict) else None
        for key in keys:
            number = entries.get(key) if isinstance(entries, dict) else None
            if isinstance(number, bool) or not isinstance(number, int | float) or not SMALLEST < number < LARGEST:
                problem = f"expected a number from {SMALLEST:g} to {LARGEST:g}, got {reprlib.repr(number)}"
                raise DataError(problem, file=file, field=f"{table}.{key}", mend="Unpack camera_trainvaltest.zip anew")
            camera[key] = float(number)
    return camera


def _codes(file: Path) -> Tensor:
    array, mode = read_pixels(file)
    if mode not in SIXTEEN_BITS:
        problem = f"PNG mode is {mode}, expected one channel of 16 bits"
        mend = "Unpack disparity_trainvaltest.zip anew; a converted disparity has lost its precision"
        raise DataError(problem, file=file, field="disparity", mend=mend)
    return torch.from_numpy(array.astype("int32"))


def _is_small(file: Path, root: Path) -> bool:
    return file.relative_to(root).parts[0].endswith("_small")
