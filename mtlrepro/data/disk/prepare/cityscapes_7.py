"""Cityscapes with 7 classes at 128x256 as npy arrays (MTAN's layout), from the raw release."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mtlrepro.data.disk.arrays import read_npy, read_pixels
from mtlrepro.data.disk.encodings import SIXTEEN_BITS
from mtlrepro.data.disk.marker import Marker, read_marker
from mtlrepro.data.disk.prepare.formats import lines, nearest, npy
from mtlrepro.data.disk.prepare.job import Job
from mtlrepro.data.disk.prepare.provenance import FILE, MASK_NOTE, page
from mtlrepro.data.disk.prepare.sources import CITYSCAPES
from mtlrepro.data.disk.tree import Tree
from mtlrepro.errors import DataError

SIZE = (128, 256)

RELEASE = Marker("cityscapes", {"train": 2975, "val": 500}, (1024, 2048), 0)
"""Counts and size of the release; a synthetic copy has its own."""

KINDS = ("image", "label_7", "label_19", "depth")

SOURCES = {
    "image": ("leftImg8bit/{}_leftImg8bit.png", ("RGB",)),
    "labels": ("gtFine/{}_gtFine_labelIds.png", ("L",)),
    "disparity": ("disparity/{}_disparity.png", SIXTEEN_BITS),
}
"""What is read of a sample -> path of its file, {} = split/city/name, and Pillow's modes."""

FIRST_OF_CATEGORY = (7, 11, 17, 21, 23, 24, 26, 34)
"""Label ids of one category follow each other: flat from 7, construction from 11, object from 17, nature from 21,
sky 23, human from 24, vehicle from 26 to 33; what is below 7 is void."""

TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label ids of the 19 classes of the official benchmark, in the order of their train ids."""


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Label id -> category, and -> train id, float32 with -1 = void."""
    seven = np.searchsorted(FIRST_OF_CATEGORY, np.arange(34), "right") - 1
    nineteen = np.full(34, -1)
    nineteen[list(TRAIN_IDS)] = np.arange(19)
    return seven.astype(np.float32), nineteen.astype(np.float32)


SEVEN, NINETEEN = _tables()

ROWS = {
    "{train,val}/image/<i>.npy": ("128x256x3 float32 in [0, 1]", "bicubic (Pillow, on 8 bits), / 255"),
    "{train,val}/label_7/<i>.npy": (
        "128x256 float32, -1 = void, 0 to 6",
        "labelIds, the official categories flat, construction, object, nature, sky, human, vehicle; nearest",
    ),
    "{train,val}/label_19/<i>.npy": ("128x256 float32, -1 = void, 0 to 18", "labelIds to official train ids; nearest"),
    "{train,val}/depth/<i>.npy": (
        "128x256x1 float32 inverse depth, 0 = invalid",
        "value of the disparity PNG / 65535; nearest",
    ),
    "rows/{train,val}.txt": ("line i + 1: city/name of array i", "cities and names in alphabetical order"),
}

NOTES = """## Valid disparities

{shares}

## Partial labels

The order of the released arrays is not known, so **the published label mask does not fit this copy**: see
`labels/README.md`. Generated masks do.
"""


class Cityscapes7(Job):
    """The arrays of both splits, cities and names in alphabetical order.

    Args:
        source: folder with leftImg8bit/, gtFine/ and disparity/.

    Raises:
        DataError: files are missing, or not in the numbers of the release.
    """

    def __init__(self, source: Path):
        self._folder = source
        found = read_marker(source)
        self.marker = found and replace(found, dataset="cityscapes_7", size=SIZE)
        self._expected = found or RELEASE
        tree = Tree(source)
        self._names = {split: self._listed(tree, split) for split in self._expected.counts}
        self._name_of = {f"{s}/{row}": name for s, names in self._names.items() for row, name in enumerate(names)}
        self.items = {item: tuple(item.replace("/", f"/{kind}/") + ".npy" for kind in KINDS) for item in self._name_of}
        self.item_bytes = SIZE[0] * SIZE[1] * 4 * (3 + 1 + 1 + 1)
        # Names alone: a damaged file that is found on the way and restored must not undo the rest.
        listed = "".join(f"{item} {name}\n" for item, name in self._name_of.items())
        self.source = {"samples": len(self.items), "names_sha256": hashlib.sha256(listed.encode()).hexdigest()}

    def make(self, item: str) -> dict[str, bytes]:
        """The four arrays of a sample."""
        name = self._name_of[item]
        read = {what: self._read(what, name) for what in SOURCES}
        labels = nearest(read["labels"], SIZE)
        picture = Image.fromarray(read["image"]).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        arrays = (
            np.asarray(picture, np.float32) / np.float32(255),
            SEVEN[labels],
            NINETEEN[labels],
            nearest(read["disparity"], SIZE)[..., None].astype(np.float32) / np.float32(65535),
        )
        return {file: npy(array) for file, array in zip(self.items[item], arrays, strict=True)}

    def finish(self, folder: Path) -> dict[str, bytes]:
        """The samples' names, provenance with the share of valid disparities, and a note where masks are looked for."""
        rows = {
            f"rows/{split}.txt": lines(name.partition("/")[2] for name in names) for split, names in self._names.items()
        }
        shares = [f"{_valid_share(folder, split, len(names)):.2%} in {split}" for split, names in self._names.items()]
        notes = NOTES.format(shares=", ".join(shares) + " (the rest is 0).")
        text = page("cityscapes_7", "Cityscapes, 7 classes, 128x256", "the raw release of Cityscapes", ROWS, notes)
        return rows | MASK_NOTE | {FILE: text}

    def _listed(self, tree: Tree, split: str) -> list[str]:
        """split/city/name of all samples, each of which has all its files."""
        first, ending = f"leftImg8bit/{split}", "_leftImg8bit.png"
        found = sorted(file for file in tree.files(first) if file.endswith(ending))
        names = [file.removeprefix("leftImg8bit/").removesuffix(ending) for file in found]
        expected = self._expected.counts[split]
        if len(names) != expected:
            problem = f"{len(names)} images of the {split} split, expected {expected}"
            problem += "" if names else f"; {tree.instead(first + '/aachen')}"
            mend = f"Unpack the raw release there: {', '.join(CITYSCAPES)}"
            raise DataError(problem, file=self._folder / first, field="image", mend=mend)
        for what, (pattern, _) in SOURCES.items():
            gone = [path for path in map(pattern.format, names) if not tree.holds(path)]
            if gone:
                problem = f"{len(gone)} of {len(names)} {what} files are missing; {tree.instead(gone[0])}"
                mend = f"Unpack the raw release there: {', '.join(CITYSCAPES)}"
                raise DataError(problem, file=self._folder / gone[0], field=what, mend=mend)
        return names

    def _read(self, what: str, name: str) -> np.ndarray:
        pattern, modes = SOURCES[what]
        file = self._folder / pattern.format(name)
        array, mode = read_pixels(file)
        if mode not in modes or array.shape[:2] != self._expected.size:
            height, width = self._expected.size
            problem = f"PNG of mode {mode}, {array.shape[0]}x{array.shape[1]} (height x width), "
            problem += f"expected mode {' or '.join(modes)}, {height}x{width}"
            raise DataError(problem, file=file, field=what, mend="Restore the file of the raw release")
        if what == "labels" and array.max() > 33:
            problem = f"label id {array.max()}, expected 0 to 33"
            raise DataError(problem, file=file, field=what, mend="Restore the labelIds file of the raw release")
        return array


def _valid_share(folder: Path, split: str, count: int) -> float:
    files = (folder / split / "depth" / f"{row}.npy" for row in range(count))
    return float(np.mean([(read_npy(file, "depth") > 0).mean() for file in files]))
