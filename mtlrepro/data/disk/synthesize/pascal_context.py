"""PASCAL-Context with five tasks, as the public reference implementation of ASTMT distributes it (folder PASCAL_MT)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import laplace

from mtlrepro.data.disk.synthesize.base import Writer, channels_last, whole
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.classes import ID, IGNORE
from mtlrepro.data.scenes.generated import FIRST_INDEX
from mtlrepro.data.scenes.labels import edges
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.metrics.boundary.thinning import thin

VOC = {"chair": 9, "table": 11, "person": 15, "sofa": 18, "television": 20}
"""Class of rooms -> class id of PASCAL VOC; all other classes are background."""

PERSON = VOC["person"]

# fmt: off
WITH_NORMALS = (3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 427, 29, 30, 33, 34, 36, 37, 38)
WITHOUT_NORMALS = (1, 2, 5, 7, 8, 12, 14, 16, 19, 20, 21, 24, 25, 26, 27, 28, 31, 32, 35, 40)
"""Ids among the 459 classes of PASCAL-Context that the rooms' classes get in turn: even ones have valid normals."""
COLOURS = (
    0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128, 64, 0, 0, 192, 0, 0,
    64, 128, 0, 192, 128, 0, 64, 0, 128, 192, 0, 128, 64, 128, 128, 192, 128, 128, 0, 64, 0, 128, 64, 0, 0, 192, 0,
    128, 192, 0, 0, 64, 128,
)
"""RGB of the 21 classes of VOC, one after the other."""
# fmt: on

VOID = (224, 224, 192)
"""Colour of id 255."""

PART_NAMES = {
    2: ("torso", "neck"),
    3: ("luarm", "ruarm"),
    4: ("llarm", "lhand", "rlarm", "rhand"),
    5: ("luleg", "ruleg"),
    6: ("llleg", "lfoot", "rlleg", "rfoot"),
    1: ("head", "hair", "leye", "nose"),
}
"""Part -> what PASCAL-Part calls its pieces. In this order they are annotated: a head over the torso behind it."""

YEARS = {"train": "2008", "val": "2010"}
"""Split -> the year that its ids begin with."""


class PascalRelease(Writer):
    """JPEG images, palette and grey PNG, MATLAB files with PASCAL-Part's struct and with a map of 459 classes.

    What rooms hold stands for what it resembles. Every third picture is upright. Class maps have the void seam that
    VOC draws around objects; those of every other sample lie in `semseg/VOC12`, the rest in `semseg/pascal-context`.
    """

    native: ClassVar[tuple[int, int]] = (375, 500)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Rooms with the labels that belong to this release."""
        for name, room in self._rooms(split, n):
            yield name, labels_of(room)

    def write(self, split: str, n: int) -> Iterator[None]:
        """Also the id list."""
        names = []
        for i, (name, room) in enumerate(self._rooms(split, n)):
            sample = labels_of(room)
            jpeg = Image.fromarray(channels_last(room["image"]))
            jpeg.save(self.place(f"JPEGImages/{name}.jpg"), quality=95, subsampling=0)
            indexed = Image.fromarray(sample["semseg"].numpy())
            indexed.putpalette((*COLOURS, *[0] * (3 * 255 - len(COLOURS)), *VOID))
            indexed.save(self.place(f"semseg/{('VOC12', 'pascal-context')[i % 2]}/{name}.png"))
            # A network's output: valid everywhere, and not just 0 and 255.
            shade = torch.arange(room["saliency"].shape[-1]) % 128
            self.png(f"sal_distill/{name}.png", (room["saliency"] * 128 + shade).to(torch.uint8).numpy())
            self.png(f"normals_distill/{name}.png", whole((room["normals"].permute(1, 2, 0) + 1) * 127.5, 0, 255))
            self.mat(f"pascal-context/trainval/{name}.mat", {"LabelMap": context_classes(room)})
            self._people(name, room)
            names.append(name)
            self.lines(f"ImageSets/Context/{split}.txt", names)
            yield

    def _rooms(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        for number in self.numbers(split, n):
            i = number - FIRST_INDEX[split]
            size = self.size[::-1] if i % 3 == 1 else self.size
            yield f"{YEARS[split]}_{i:06d}", render(layout(self.seed, number), *size, classes=40, seed=number)

    def _people(self, name: str, room: Sample) -> None:
        """One struct a visible object of VOC's classes; people have parts."""
        instances, classes, parts = (room[key].numpy() for key in ("instances", "semseg", "parts"))
        things = []
        for room_class, class_ind in VOC.items():
            for instance in np.unique(instances[classes == ID[room_class]]):
                mask = (instances == instance) & (classes == ID[room_class])
                pieces = _pieces(mask, parts) if class_ind == PERSON else []
                things.append((room_class, float(class_ind), mask.astype(np.uint8), _struct(PIECE, pieces)))
        anno = {"imname": name, "objects": _struct(THING, things)}
        self.mat(f"human_parts/{name}.mat", {"anno": anno})


THING = ("class", "class_ind", "mask", "parts")
PIECE = ("part_name", "mask")


def labels_of(room: Sample) -> Sample:
    """A rendered room as a sample of this dataset."""
    classes = context_classes(room)
    outlines = laplace(classes.astype(np.float64), mode="mirror") != 0
    valid = torch.from_numpy(np.isin(classes, WITH_NORMALS))
    table = torch.zeros(256, dtype=torch.uint8)
    for name, class_ind in VOC.items():
        table[ID[name]] = class_ind
    ids = table[room["semseg"].long()]
    return {
        "image": room["image"],
        "semseg": torch.where(edges(ids) == 1, IGNORE, ids),
        "parts": room["parts"],
        "saliency": room["saliency"],
        "normals": torch.where(valid, room["normals"], 0.0),
        "edges": torch.from_numpy(thin(outlines).astype(np.uint8)),
    }


def context_classes(room: Sample) -> np.ndarray:
    """(H, W) uint16 ids of PASCAL-Context's 459 classes."""
    table = np.stack([WITH_NORMALS, WITHOUT_NORMALS], 1).astype(np.uint16).reshape(-1)
    return table[room["semseg"].numpy()]


def _pieces(mask: np.ndarray, parts: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The pieces of a person's parts, side by side; the first of the torso reaches behind the head."""
    columns = np.arange(parts.shape[1])
    pieces = []
    for part, names in PART_NAMES.items():
        for i, name in enumerate(names):
            piece = mask & (parts == part) & (columns % len(names) == i)
            if name == "torso":
                piece |= mask & (parts == 1)
            if piece.any():
                pieces.append((name, piece.astype(np.uint8)))
    return pieces


def _struct(fields: tuple[str, ...], rows: list[tuple]) -> np.ndarray:
    """What MATLAB stores as a struct array of these fields; the empty matrix if there is no row."""
    if not rows:
        return np.zeros((0, 0))
    out = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        out[0, i] = row
    return out
