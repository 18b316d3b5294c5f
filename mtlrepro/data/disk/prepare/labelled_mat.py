"""The labelled frames of NYU Depth v2: `nyu_depth_v2_labeled.mat`, the split and the mapping of its classes.

The .mat file is MATLAB 7.3, that is HDF5 whose axes are those of MATLAB in reverse. It is read frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtlrepro.data.disk.arrays import check_regular, own_array, read_mat
from mtlrepro.data.disk.marker import Marker, read_marker
from mtlrepro.data.disk.prepare.record import fingerprint
from mtlrepro.data.disk.prepare.sources import LABELLED, MAPPING, NYU, SPLITS
from mtlrepro.errors import DataError, MissingExtra

RELEASE = Marker("nyuv2", {"train": 795, "val": 654}, (480, 640), 0)
"""Counts and size of the release; a synthetic copy has its own."""

AGAIN = f"Get the official file again: {NYU[LABELLED]}"

FIRST_CLASSES, CLASSES = 894, 40

DEEPEST = 100.0
"""Metres; a depth beyond was stored in another unit."""

CACHE_BYTES, CACHE_SLOTS = 96 << 20, 200_003
"""Of HDF5, a variable: MATLAB's blocks reach over many frames, and are unpacked once if they fit."""

INDEX = {"train": "trainNdxs", "val": "testNdxs"}


class LabelledFrames:
    """The source folder, opened and checked.

    Args:
        folder: holds the files of `NYU`, or is the labelled .mat file itself beside the others.

    Attributes:
        marker: what the folder says if it is a synthetic copy, else None.
        length: number of frames.
        size: (height, width).
        splits: split -> frame numbers, from 1, in the order of `splits.mat`.
        source: what tells this source from another.

    Raises:
        DataError: a file or variable is missing, damaged, or not as the release has it.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, folder: Path):
        folder = folder.parent if folder.is_file() else folder
        files = {name: folder / name for name in NYU}
        for name, file in files.items():
            if not file.is_file():
                raise DataError("no such file", file=file, mend=f"Put {name} there: {NYU[name]}")
        self.marker = read_marker(folder)
        expected = self.marker or RELEASE
        self.length, self.size = sum(expected.counts.values()), expected.size
        self._file = files[LABELLED]
        self._stream = _open(self._file)
        try:
            self._images = self._variable("images", ("uint8",), 3)
            self._depths = self._variable("depths", ("float32", "float64"))
            self._labels = self._variable("labels", ("uint16",))
            self._classes = _mapping(files[MAPPING])
            self.splits = _splits(files[SPLITS], expected.counts)
            self.source = {name: fingerprint(file) for name, file in files.items()}
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[tuple[str, int, int]]:
        """(split, row in it, frame number) of all frames in both splits, in the order of the .mat file."""
        rows = [(frame, split, row) for split, frames in self.splits.items() for row, frame in enumerate(frames)]
        return ((split, row, frame) for frame, split, row in sorted(rows))

    def image(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self._read(self._images, frame).transpose(2, 1, 0)

    def depth(self, frame: int) -> np.ndarray:
        """(H, W) float32 metres, the in-painted `depths`; 0 = invalid."""
        metres = self._read(self._depths, frame).T.astype(np.float32)
        if not (np.isfinite(metres).all() and metres.min() >= 0 and metres.max() <= DEEPEST):
            problem = f"depths from {metres.min():g} to {metres.max():g} in frame {frame}, expected metres"
            raise self._damage(problem, "depths")
        return metres

    def labels(self, frame: int) -> np.ndarray:
        """(H, W) uint8, 1 to 40, 0 = unlabelled."""
        stored = self._read(self._labels, frame).T
        if stored.max() > FIRST_CLASSES:
            problem = f"class {stored.max()} in frame {frame}, expected 0 to {FIRST_CLASSES}"
            raise self._damage(problem, "labels")
        return self._classes[stored]

    def close(self) -> None:
        """Close the .mat file."""
        self._stream.close()

    def _variable(self, name: str, types: tuple[str, ...], *channels: int) -> Any:
        """A variable of the .mat file, whose values must lie in that file itself."""
        variable = own_array(self._stream, name, self._file, AGAIN)
        expected = (self.length, *channels, *reversed(self.size))
        if variable.shape != expected or variable.dtype.name not in types:
            problem = f"{variable.dtype} of shape {variable.shape}, expected {' or '.join(types)} of shape {expected}"
            raise self._damage(problem, name)
        return variable

    def _read(self, variable: Any, frame: int) -> np.ndarray:
        try:
            return variable[frame - 1]
        except (OSError, RuntimeError, ValueError) as error:
            name = variable.name.strip("/")
            raise self._damage(f"frame {frame} cannot be read ({_first_line(error)})", name) from None

    def _damage(self, problem: str, field: str) -> DataError:
        return DataError(problem, file=self._file, field=field, mend=AGAIN)


def _open(file: Path) -> Any:
    try:
        import h5py
    except ImportError:
        mend = 'Install it: pip install "mtlrepro[hdf5]"'
        raise MissingExtra("MATLAB 7.3 files need h5py, which is not installed", file=file, mend=mend) from None
    try:
        check_regular(file)
        with file.open("rb") as stream:
            if stream.read(10) == b"MATLAB 5.0":
                problem = "a MATLAB 5 to 7 file, expected version 7.3 (HDF5)"
                raise DataError(problem, file=file, mend=f"Get the official file: {NYU[LABELLED]}")
        return h5py.File(file, "r", rdcc_nbytes=CACHE_BYTES, rdcc_nslots=CACHE_SLOTS)
    except OSError as error:
        mend = f"It is truncated or damaged: get it again, {NYU[LABELLED]}"
        raise DataError(f"cannot be read ({_first_line(error)})", file=file, mend=mend) from None


def _mapping(file: Path) -> np.ndarray:
    """Stored class, 0 to 894 -> 0 (unlabelled) to 40."""
    found = _numbers(file, "mapClass", MAPPING)
    if found.shape != (FIRST_CLASSES,) or found.min() < 1 or found.max() > CLASSES:
        problem = f"{found.size} values from {found.min(initial=0)} to {found.max(initial=0)}, "
        problem += f"expected {FIRST_CLASSES} from 1 to {CLASSES}"
        raise DataError(problem, file=file, field="mapClass", mend=f"Get the file again: {NYU[MAPPING]}")
    return np.concatenate([[0], found]).astype(np.uint8)


def _splits(file: Path, counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Frame numbers by split: as many as there should be, each frame once."""
    found = {split: _numbers(file, name, SPLITS).tolist() for split, name in INDEX.items()}
    mend = f"Get the file again: {NYU[SPLITS]}"
    for split, numbers in found.items():
        if len(numbers) != counts.get(split, 0):
            problem = f"{len(numbers)} frames, expected {counts.get(split, 0)}"
            problem += "; are the lists swapped?" if len(numbers) in counts.values() else ""
            raise DataError(problem, file=file, field=INDEX[split], mend=mend)
    listed = sorted(number for numbers in found.values() for number in numbers)
    wrong = next((n for place, n in enumerate(listed, 1) if n != place), None)
    if wrong is not None:
        problem = f"frame {wrong} is listed twice, or another is missing: the lists must hold 1 to {len(listed)} once"
        raise DataError(problem, file=file, field=" and ".join(INDEX.values()), mend=mend)
    return found


def _numbers(file: Path, name: str, key: str) -> np.ndarray:
    """A variable of a MATLAB 5 to 7 file: whole numbers, in one row or column."""
    variables = read_mat(file)
    if name not in variables:
        problem = f"no such variable; the file holds {', '.join(variables) or 'nothing'}"
        raise DataError(problem, file=file, field=name, mend=f"Get the file again: {NYU[key]}")
    values = np.atleast_1d(np.asarray(variables[name]))
    if values.ndim != 1 or values.dtype.kind not in "uif" or (values != np.floor(values)).any():
        problem = f"{values.dtype} of shape {values.shape}, expected a row of whole numbers"
        raise DataError(problem, file=file, field=name, mend=f"Get the file again: {NYU[key]}")
    return values.astype(np.int64)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0].rstrip(".") or type(error).__name__
