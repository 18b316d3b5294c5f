"""Virtual KITTI 2 (Cabon et al., 2020): the frames that DenseMTL (WACV 2023) uses, with 14 classes or 8."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from mtlrepro.data.disk.arrays import read_pixels
from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.disk.readers.outdoor import SizeOption
from mtlrepro.data.disk.readers.shuffled import Shuffled
from mtlrepro.errors import DataError

FRAMES = {"Scene01": 447, "Scene02": 233, "Scene06": 270, "Scene18": 339, "Scene20": 837}
"""Frames a scene, of each condition and camera."""

EIGHT = {
    "road": ("Road",),
    "building": ("Building",),
    "pole": ("Pole",),
    "traffic light": ("TrafficLight",),
    "traffic sign": ("TrafficSign",),
    "vegetation": ("Tree", "Vegetation"),
    "sky": ("Sky",),
    "vehicle": ("Truck", "Car", "Van"),
}
"""The classes that Virtual KITTI 2 shares with Cityscapes (DenseMTL, table 8)."""


UNDEFINED = (0, 0, 0)
"""The colour of what the release gives no class."""

UNKNOWN = 0.5
"""Share of a picture that may have other colours than those of the release."""


class VirtualKitti2(Shuffled):
    """One part of the 2,126 frames of condition 15-deg-left, camera 0: class ids, depth (the sky at 655.35 m, a depth
    like others), normals from depth. Ids are as Scene01/00000.

    Args:
        size: (height, width) of the samples; None keeps that of the files.
        normals: "released", as the public reference implementation makes them: from inverse depth with intrinsics that
            are not scaled; "metric": correct geometry (`mtlrepro.data.surface`). Errors of the two cannot be compared.
        classes: 14, or the 8 that Cityscapes has too.
        policy: "released", as the public reference implementation splits: most of val is in train, too; "disjoint": no
            image is in both; "all": train is all images, val included, to adapt from them to another dataset.
        split_seed: of the permutations that the splits are cut from; the published runs take the run's own seed.
        description, split, root, length, cache: see `Folder`.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`; also if a scene is not complete.
    """

    CLASS_SETS = {14: None, 8: EIGHT}
    CLASSES = 14

    def __init__(
        self,
        *args: Any,
        size: SizeOption = None,
        normals: str = "released",
        classes: int = CLASSES,
        policy: str = "released",
        split_seed: int = 42,
        **options: Any,
    ):
        shared: dict[str, Any] = {"policy": policy, "split_seed": split_seed, **options}
        super().__init__(*args, size=size, normals=normals, classes=classes, **shared)

    def described_classes(self, file: Path) -> Tensor:
        """Colours of no class are ignored; a picture that mostly consists of them is another one."""
        ids = super().described_classes(file)
        if float((ids == IGNORE).float().mean()) > UNKNOWN:
            unknown = (ids == IGNORE).numpy() & (read_pixels(file)[0] != UNDEFINED).any(-1)
            if unknown.mean() > UNKNOWN:
                problem = f"{unknown.mean():.0%} of the pixels have a colour that stands for no class"
                mend = "Unpack vkitti_2.0.3_classSegmentation.tar.gz anew"
                raise DataError(problem, file=file, field="semseg", mend=mend)
        return ids

    def found_ids(self) -> list[str]:
        """Scene and frame number of every picture of the scenes."""
        names = []
        for scene, expected in FRAMES.items():
            folder, _, form = self.candidates("image", f"{scene}/{{}}")[0].rpartition("/")
            frame = re.compile(re.escape(form).replace(r"\{\}", "([0-9]{5})"))
            found = [match[1] for match in map(frame.fullmatch, self.tree.entries(folder)) if match]
            if len(found) != expected and not self.synthetic:
                instead = self.tree.instead(f"{folder}/{form.format('00000')}")
                problem = f"{len(found)} frames of {scene}, expected {expected}; {instead}"
                mend = "Unpack the three archives vkitti_2.0.3_{rgb,classSegmentation,depth} into one tree"
                raise DataError(problem, file=self.root / folder, field="image", mend=mend)
            names += [f"{scene}/{number}" for number in found]
        return sorted(names)

    def candidates(self, what: str, name: str) -> tuple[str, ...]:
        """Patterns are relative to the folder of a scene."""
        scene, _, frame = name.partition("/")
        return tuple(f"{scene}/{path}" for path in super().candidates(what, frame))
