"""Images and label maps as files: read, checked, and turned into the tensors of `mtlrepro.data.sample`.

Every reader names the file when something is wrong with it. Nothing pickled is ever loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.arrays import read_npy, read_pixels
from mtlrepro.data.description import Description, Labels
from mtlrepro.errors import DataError

IGNORE = 255

UNIT_TOLERANCE = 0.1
"""A stored normal whose length is off by more counts as wrong: 8-bit storage alone costs 0.007."""

UNIT_WRONG = 0.01
"""Share of wrong normals that a file may hold: labels that were once resized have short vectors along creases."""

PNG_INVALID = 0.02
"""RGB normals shorter than this are invalid: mid-grey 127 or 128 is 0.0068 long."""


def read_image(file: Path) -> Tensor:
    """An 8-bit RGB or grey image as (3, H, W) uint8.

    Raises:
        DataError: missing, damaged, or of another mode.
    """
    array, mode = read_pixels(file)
    if mode not in ("RGB", "L"):
        raise DataError(f"image mode is {mode}, expected RGB or L (8 bit)", file=file, mend="Convert it to RGB")
    return (
        torch.from_numpy(array).movedim(-1, 0).contiguous()
        if mode == "RGB"
        else torch.from_numpy(array).repeat(3, 1, 1)
    )


def read_label(task: str, file: Path, labels: Labels, description: Description) -> Tensor:
    """One label map in the sample form of its task.

    Raises:
        DataError: missing, damaged, of the wrong dtype or shape, or with a value the task cannot have.
    """
    return _READERS[task](file, labels, description)


def read_semseg(file: Path, labels: Labels, description: Description) -> Tensor:
    """Class ids (H, W) uint8, 255 = ignore."""
    array = _grey(file, "semseg", ("L", "P"))
    table, bad = _id_table(len(description.classes), labels)
    found = np.bincount(array.ravel(), minlength=256)
    wrong = np.flatnonzero((found > 0) & bad)
    if len(wrong):
        value, n, first = int(wrong[0]), len(description.classes), -labels.offset
        pixels = int(found[value])
        raise DataError(
            f"label id {value} ({pixels} pixels), but the {n} classes are stored as {first}..{first + n - 1}",
            file=file,
            field="semseg",
            mend=f"If {value} means no label, add it to ignore = [...] of [tasks.semseg] in {description.file}; "
            "else add its class name to classes there",
        )
    return torch.from_numpy(table[array])


def read_depth(file: Path, labels: Labels, description: Description) -> Tensor:
    """Metres (H, W) float32, 0 = invalid."""
    if file.suffix.lower() == ".png":
        array = _grey(file, "depth", ("L", "I", "I;16"))
    else:
        array = _npy(file, "depth", "(H, W) numbers", 2)
    metres = array.astype(np.float32) * np.float32(labels.unit)
    if not np.isfinite(metres).all():
        problem = f"{int((~np.isfinite(metres)).sum())} pixels are NaN or infinite"
        raise DataError(problem, file=file, field="depth", mend="Store 0 where there is no measurement")
    if (metres < 0).any():
        problem = f"negative depth, down to {float(metres.min()):g} m"
        raise DataError(problem, file=file, field="depth", mend="Store 0 where there is no measurement")
    return torch.from_numpy(metres)


def read_normals(file: Path, labels: Labels, description: Description) -> Tensor:
    """Unit vectors (3, H, W) float32, zero = invalid. Lengths within the tolerance are set to exactly 1."""
    if file.suffix.lower() == ".png":
        array, mode = read_pixels(file)
        if mode != "RGB":
            raise DataError(f"mode is {mode}, expected RGB", file=file, field="normals", mend="Store (v + 1) / 2 * 255")
        black = (array == 0).all(-1)
        vectors = array.astype(np.float32) * np.float32(2 / 255) - 1
        length = np.sqrt((vectors * vectors).sum(-1))
        valid = ~black & (length > PNG_INVALID)
    else:
        vectors = _npy(file, "normals", "(H, W, 3) numbers", 3).astype(np.float32)
        length = np.sqrt((vectors * vectors).sum(-1))
        valid = length > 0
    if not np.isfinite(length).all():
        mend = "Store (0, 0, 0) where there is no normal"
        raise DataError("a normal is NaN or infinite", file=file, field="normals", mend=mend)
    off = np.where(valid, np.abs(length - 1), 0)
    if (off > UNIT_TOLERANCE).sum() > UNIT_WRONG * max(int(valid.sum()), 1):
        worst = float(length.flat[int(off.argmax())])
        raise DataError(
            f"{int((off > UNIT_TOLERANCE).sum())} normals are not unit vectors, such as one of length {worst:.3g}",
            file=file,
            field="normals",
            mend="Store unit vectors with components in [-1, 1], and (0, 0, 0) where there is no normal",
        )
    unit = np.where(valid[..., None], vectors / np.where(valid, length, 1)[..., None], 0).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(unit.transpose(2, 0, 1)))


def read_edges(file: Path, labels: Labels, description: Description) -> Tensor:
    """(H, W) uint8, 1 = edge."""
    png = file.suffix.lower() == ".png"
    array = _grey(file, "edges", ("L", "1")) if png else _npy(file, "edges", "(H, W) numbers", 2)
    values = np.unique(array)
    top = 255 if png and 255 in values else 1
    if not np.isin(values, (0, top)).all():
        wrong = values[~np.isin(values, (0, top))][0]
        problem = f"value {wrong} in an edge map that also uses 0 and {top}"
        raise DataError(problem, file=file, field="edges", mend="Store 0 and 1 (in PNG also 0 and 255)")
    return torch.from_numpy((array != 0).astype(np.uint8))


def boundaries(semseg: Tensor) -> Tensor:
    """Semantic boundaries (H, W) uint8 of a label map (H, W) uint8 with 255 = ignore.

    A pixel is 1 if its class differs from that of its right or its lower neighbour, a line one pixel thick.
    A comparison with an ignored pixel says nothing: pixels that would depend on one alone are 255, as are the
    ignored pixels themselves; the rest is 0. So a boundary next to unlabelled ground is neither asked for nor
    held against a prediction.
    """
    known = semseg != IGNORE
    edge, unknown = torch.zeros_like(known), ~known
    for dim in (0, 1):
        n = semseg.shape[dim] - 1
        here, there = semseg.narrow(dim, 0, n), semseg.narrow(dim, 1, n)
        both = known.narrow(dim, 0, n) & known.narrow(dim, 1, n)
        edge.narrow(dim, 0, n).logical_or_(both & (here != there))
        unknown.narrow(dim, 0, n).logical_or_(~both)
    return torch.where(edge, 1, torch.where(unknown, IGNORE, 0)).to(torch.uint8)


_READERS: dict[str, Callable[[Path, Labels, Description], Tensor]] = {
    "semseg": read_semseg,
    "depth": read_depth,
    "normals": read_normals,
    "edges": read_edges,
}

_STORED = {"semseg": "class ids", "depth": "depths", "edges": "edges"}
"""What the grey PNG of a task holds, for messages."""


def _grey(file: Path, task: str, modes: tuple[str, ...]) -> np.ndarray:
    array, mode = read_pixels(file)
    if mode not in modes:
        depth = "8-bit" if "I" not in modes else "8- or 16-bit"
        problem = f"PNG mode is {mode}, expected {' or '.join(modes)}"
        mend = f"Store {_STORED[task]} as a PNG with one {depth} channel"
        raise DataError(problem, file=file, field=task, mend=mend)
    return array


def _npy(file: Path, task: str, shape: str, axes: int) -> np.ndarray:
    array = read_npy(file, task)
    if array.ndim == 3 and axes == 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != axes or (axes == 3 and array.shape[-1] != 3) or array.dtype.kind not in "fiub":
        problem = f"array of shape {array.shape} and dtype {array.dtype}, expected {shape}"
        raise DataError(problem, file=file, field=task, mend="Save it in that form")
    return array


@functools.lru_cache(maxsize=16)
def _id_table(classes: int, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Stored value -> class id (255 = ignore), and stored value -> is it out of range."""
    stored = np.arange(256)
    ignored = np.isin(stored, labels.ignore)
    ids = stored + labels.offset
    bad = ~ignored & ((ids < 0) | (ids >= classes))
    return np.where(ignored | bad, IGNORE, ids).astype(np.uint8), bad
