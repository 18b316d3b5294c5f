"""Images and label maps as files: read, checked, and turned into the tensors of `mtlrepro.data.sample`.

Every reader names the file when something is wrong with it. Nothing pickled is ever loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk.arrays import read_channels, read_hdf5, read_npy, read_pixels
from mtlrepro.data.disk.description import MAPS, Description, Labels
from mtlrepro.errors import DataError
from mtlrepro.metrics.parts import CLASSES as PARTS
from mtlrepro.metrics.parts import shows_parts

IGNORE = 255

UNIT_TOLERANCE = 0.1
"""A stored normal whose length is off by more counts as wrong: 8-bit storage alone costs 0.007."""

UNIT_WRONG = 0.1
"""Share of wrong normals that a file may hold: labels that were once resized have short vectors along creases and
around every invalid pixel."""

SHORT = 0.02
"""Normals shorter than this are invalid: mid-grey 127 or 128 is 0.0068 long, and no direction is left in a resized
vector that has nearly cancelled out."""

OVERSHOOT = 1e-3
"""How far rounding and resizing may take the floats of an image out of [0, 1]."""

SIXTEEN_BITS = ("I", "I;16")
"""Pillow's modes of a grey PNG of 16 bits."""


def read_image(file: Path) -> Tensor:
    """An RGB or grey image as (3, H, W): uint8, or float32 in [0, 1] where the file holds floats.

    Raises:
        DataError: missing, damaged, of another mode or shape, or with values out of range.
    """
    return _IMAGE_READERS.get(file.suffix.lower(), _image_pixels)(file)


def _image_pixels(file: Path) -> Tensor:
    array, mode = read_pixels(file)
    if mode not in ("RGB", "L"):
        raise DataError(f"image mode is {mode}, expected RGB or L (8 bit)", file=file, mend="Convert it to RGB")
    return (
        torch.from_numpy(array).movedim(-1, 0).contiguous()
        if mode == "RGB"
        else torch.from_numpy(array).repeat(3, 1, 1)
    )


def _image_npy(file: Path) -> Tensor:
    array = read_npy(file, "image")
    if array.ndim != 3 or array.shape[-1] != 3 or not (array.dtype == np.uint8 or array.dtype.kind == "f"):
        problem = f"array of shape {array.shape} and dtype {array.dtype}, expected (H, W, 3) floats or uint8"
        raise DataError(problem, file=file, field="image", mend="Save it in that form")
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        low, high = float(array.min(initial=0)), float(array.max(initial=0))
        if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # also if one is NaN
            problem = f"floats from {low:g} to {high:g}, expected [0, 1]"
            raise DataError(problem, file=file, field="image", mend="Divide by 255, or save 8-bit values as uint8")
        array = array.clip(0, 1)
    return _channels_first(array)


def _image_hdf5(file: Path) -> Tensor:
    form = "(3, H, W) uint8"
    array = read_hdf5(file, "rgb", (3,), form)
    if array.shape[0] != 3 or array.dtype != np.uint8:
        problem = f"array of shape {array.shape} and dtype {array.dtype}, expected {form}"
        raise DataError(problem, file=file, field="rgb", mend="Save it in that form")
    return torch.from_numpy(array)


_IMAGE_READERS: dict[str, Callable[[Path], Tensor]] = {".npy": _image_npy, ".h5": _image_hdf5}


def read_label(
    task: str, file: Path, labels: Labels, description: Description, valid: np.ndarray | None = None
) -> Tensor:
    """One label map in the sample form of its task.

    Args:
        task: its name.
        file: where it is.
        labels: how the task is stored.
        description: of the dataset.
        valid: (H, W) bool, pixels outside of which the label is invalid; only for tasks that may have a `mask`.

    Raises:
        DataError: missing, damaged, of the wrong dtype or shape, or with a value the task cannot have.
        MissingExtra: it is an HDF5 file, and h5py is not installed.
    """
    masks = () if valid is None else (valid,)
    return _READERS[task](file, labels, description, *masks)


def read_semseg(file: Path, labels: Labels, description: Description) -> Tensor:
    """Class ids (H, W) uint8, 255 = ignore."""
    if labels.colours:
        return _ids_of_colours(file, labels.colours)
    if labels.map:
        stored = _ids(file, "semseg", labels, ("L", "P", *SIXTEEN_BITS))
        mend = (
            "Restore the file, or, if {} means no label, add it to ignore = [...] of [tasks.semseg] in "
            f"{description.file}"
        )
        table, bad = _map_table(labels.map, labels.ignore)
        if labels.ignore:
            return _looked_up(stored, table, bad, "neither map nor ignore names it", mend, file)
        return torch.from_numpy(table[_indices(stored, len(table) - 2)])
    stored = _ids(file, "semseg", labels, ("L", "P"))
    n, first = len(description.classes), -labels.offset
    mend = (
        "If {} means no label, add it to ignore = [...] of [tasks.semseg] in "
        f"{description.file}; else add its class name to classes there"
    )
    table, bad = _id_table(n, labels)
    return _looked_up(stored, table, bad, f"the {n} classes are stored as {first}..{first + n - 1}", mend, file)


def read_parts(file: Path, labels: Labels, description: Description) -> Tensor:
    """Class ids (H, W) uint8, 0..6 of background and parts, 255 = ignore: all of it where no part is to be seen."""
    stored = _ids(file, "parts", labels, ("L", "P"))
    table, bad = _id_table(PARTS, _PARTS)
    what = f"parts are stored as 0..{PARTS - 1}, and 255 is no label"
    ids = _looked_up(stored, table, bad, what, "Store background as 0 and merge the parts", file, "parts")
    return ids if bool(shows_parts(ids[None])) else torch.full_like(ids, IGNORE)


def read_saliency(file: Path, labels: Labels, description: Description) -> Tensor:
    """(H, W) uint8, 1 = foreground: what is above the threshold."""
    if file.suffix.lower() == ".png":
        values = _grey(file, "saliency", ("L", "1"))
        values = values * 255 if values.dtype == bool else values
        return torch.from_numpy((values > 255 * labels.threshold).astype(np.uint8))
    values = _npy(file, "saliency", "(H, W) numbers", 2)
    low, high = values.min(initial=0), values.max(initial=0)
    if not (low >= 0 and high <= 1):  # also if one is NaN
        problem = f"values from {float(low):g} to {float(high):g}, expected [0, 1]"
        raise DataError(problem, file=file, field="saliency", mend="Divide by the largest possible value")
    return torch.from_numpy((values > labels.threshold).astype(np.uint8))


def read_depth(file: Path, labels: Labels, description: Description) -> Tensor:
    """Metres (H, W) float32, 0 = invalid; a disparity where the description says `inverse_depth`.

    Whole numbers are taken for no metres: the description must say what unit they have.
    """
    png = file.suffix.lower() == ".png"
    array = _channel(file, "depth", labels, ("L", *SIXTEEN_BITS)) if png else _depths(file)
    if labels.unit is None and array.dtype.kind != "f":
        problem = f"whole numbers ({array.dtype}), but the description does not say of what unit"
        mend = f"Add unit = 0.001 to [tasks.depth] of {description.file} if they are millimetres, unit = 1 if metres"
        raise DataError(problem, file=file, field="depth", mend=mend)
    if labels.limit is not None:
        if array.dtype == np.uint8 and labels.limit > 256:
            problem = f"an 8-bit PNG, but values up to {labels.limit - 1} are expected"
            raise DataError(problem, file=file, field="depth", mend="Store it with 16 bits, in its original unit")
        array = np.where(array < labels.limit, array, 0)
    metres = array.astype(np.float32) * np.float32(labels.scale)
    if not np.isfinite(metres).all():
        problem = f"{int((~np.isfinite(metres)).sum())} pixels are NaN or infinite"
        raise DataError(problem, file=file, field="depth", mend="Store 0 where there is no measurement")
    if (metres < 0).any():
        problem = f"negative depth, down to {float(metres.min()):g} m"
        raise DataError(problem, file=file, field="depth", mend="Store 0 where there is no measurement")
    return torch.from_numpy(metres)


def _depths(file: Path) -> np.ndarray:
    form = "(H, W) numbers"
    hdf5 = file.suffix.lower() == ".h5"
    array = read_hdf5(file, "depth", (2, 3), form) if hdf5 else read_npy(file, "depth")
    return _numbers(array, file, "depth", form, 2)


def read_normals(file: Path, labels: Labels, description: Description, valid: np.ndarray | None = None) -> Tensor:
    """Unit vectors (3, H, W) float32, zero = invalid. All but the shortest are scaled to length 1.

    Args:
        file: RGB PNG or npy.
        labels: how the task is stored.
        description: of the dataset.
        valid: (H, W) bool, pixels outside of which the label is invalid.

    Raises:
        DataError: missing, damaged, of the wrong shape, not finite, or with many vectors far from unit length.
    """
    if file.suffix.lower() == ".png":
        array, mode = read_pixels(file)
        if mode != "RGB":
            raise DataError(f"mode is {mode}, expected RGB", file=file, field="normals", mend="Store (v + 1) / 2 * 255")
        invalid = (array == 0).all(-1)
        vectors = array.astype(np.float32) * np.float32(2 / 255) - 1
    else:
        vectors = _npy(file, "normals", "(H, W, 3) numbers", 3).astype(np.float32)
        invalid = np.zeros(vectors.shape[:2], bool)
    length = np.sqrt((vectors * vectors).sum(-1))
    if not np.isfinite(length).all():
        mend = "Store (0, 0, 0) where there is no normal"
        raise DataError("a normal is NaN or infinite", file=file, field="normals", mend=mend)
    valid = ~invalid & (length > SHORT) & _fitting(valid, invalid.shape, file, "normals")
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
    return _channels_first(unit)


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


def read_map(
    task: str, file: Path, labels: Labels, description: Description, valid: np.ndarray | None = None
) -> Tensor:
    """Standardised values (H, W) float32, NaN = invalid.

    Args:
        task: its name.
        file: PNG.
        labels: how the task is stored.
        description: of the dataset.
        valid: (H, W) bool, pixels outside of which the label is invalid.

    Raises:
        DataError: missing, damaged, or of another mode or size.
    """
    array, mode = read_pixels(file)
    modes = _MAP_MODES.get(task, SIXTEEN_BITS)
    if mode not in modes:
        mend = f"Store {task} as {'8-bit RGB' if modes != SIXTEEN_BITS else 'one channel of 16 bits'}"
        raise DataError(f"PNG mode is {mode}, expected {' or '.join(modes)}", file=file, field=task, mend=mend)
    values = array.mean(-1) / 255 if mode == "RGB" else array
    values = ((values - labels.mean) / labels.deviation).astype(np.float32)
    return torch.from_numpy(np.where(_fitting(valid, values.shape, file, task), values, np.float32("nan")))


_MAP_MODES = {"reshading": ("RGB",)}
"""Pillow's modes of the maps that are not grey with 16 bits."""


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


_READERS: dict[str, Callable[..., Tensor]] = {
    "semseg": read_semseg,
    "parts": read_parts,
    "saliency": read_saliency,
    "depth": read_depth,
    "normals": read_normals,
    "edges": read_edges,
    **{task: functools.partial(read_map, task) for task in MAPS},
}

_PARTS = Labels(None, ignore=(IGNORE,))
"""Parts are stored in one way."""

_STORED = {
    "semseg": "class ids",
    "parts": "class ids",
    "saliency": "saliency",
    "depth": "depths",
    "edges": "edges",
}
"""What the grey PNG of a task holds, for messages."""


def _grey(file: Path, task: str, modes: tuple[str, ...]) -> np.ndarray:
    array, mode = read_pixels(file)
    if mode not in modes:
        depth = "8-bit" if "I" not in modes else "8- or 16-bit"
        problem = f"PNG mode is {mode}, expected {' or '.join(modes)}"
        mend = f"Store {_STORED[task]} as a PNG with one {depth} channel"
        raise DataError(problem, file=file, field=task, mend=mend)
    return array


def _channel(file: Path, task: str, labels: Labels, modes: tuple[str, ...]) -> np.ndarray:
    """A grey PNG, or the one channel of a PNG that the description names."""
    if labels.channel is None:
        return _grey(file, task, modes)
    array = read_channels(file, task)
    if labels.channel >= array.shape[-1]:
        problem = f"PNG has {array.shape[-1]} channels, and channel is {labels.channel} (the first is 0)"
        raise DataError(problem, file=file, field=task, mend=f"Give 0 to {array.shape[-1] - 1}, or restore the file")
    return array[..., labels.channel]


def _ids(file: Path, task: str, labels: Labels, modes: tuple[str, ...]) -> np.ndarray:
    """Stored class ids (H, W), whole numbers of any dtype."""
    if file.suffix.lower() == ".png":
        return _channel(file, task, labels, modes)
    stored = _npy(file, task, "(H, W) class ids", 2).astype(np.float64)
    fraction = ~np.isfinite(stored) | (stored != np.floor(stored))
    if fraction.any():
        problem = f"label id {stored[fraction][0]:g} ({int(fraction.sum())} such pixels) is not a whole number"
        raise DataError(problem, file=file, field=task, mend="Resize labels by nearest neighbour only")
    return stored


def _indices(stored: np.ndarray, top: int) -> np.ndarray:
    """Indices into a table whose entries are for 0..top and, the last one, for everything else; top is 255 or more."""
    if stored.dtype == np.uint8:
        return stored
    return np.where((stored >= 0) & (stored <= top), stored, np.int32(-1)).astype(np.int32)


def _looked_up(
    stored: np.ndarray, table: np.ndarray, bad: np.ndarray, expected: str, mend: str, file: Path, task: str = "semseg"
) -> Tensor:
    """Class ids (H, W) uint8 by a table and what is wrong in it, both as `_id_table` gives them."""
    ids = _indices(stored, len(table) - 2)
    wrong = bad[ids] | (ids != stored)
    if wrong.any():
        value = int(stored[wrong].min())
        problem = f"label id {value} ({int((stored == value).sum())} pixels), but {expected}"
        raise DataError(problem, file=file, field=task, mend=mend.format(value))
    return torch.from_numpy(table[ids])


def _ids_of_colours(file: Path, colours: tuple[tuple[int, int, int], ...]) -> Tensor:
    array, mode = read_pixels(file)
    if mode != "RGB":
        mend = "Store the colours themselves, 8 bits a channel"
        raise DataError(f"PNG mode is {mode}, expected RGB", file=file, field="semseg", mend=mend)
    red, green, blue = (array[..., i].astype(np.int32) for i in range(3))
    return torch.from_numpy(_colour_table(colours)[red << 16 | green << 8 | blue])


@functools.lru_cache(maxsize=2)
def _colour_table(colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """24-bit colour -> class id (255 = ignore): 16 MB, but a look-up costs a tenth of a search for every pixel."""
    table = np.full(1 << 24, IGNORE, np.uint8)
    for class_id, (red, green, blue) in enumerate(colours):
        table[red << 16 | green << 8 | blue] = class_id
    return table


@functools.lru_cache(maxsize=16)
def _map_table(pairs: tuple[tuple[int, int], ...], ignore: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Stored value 0..65535 -> class id (255 = ignore), and stored value -> is it neither mapped nor in `ignore`.

    Both have a last entry, which an index of -1 reads: for a stored -1, and where nothing is checked for all others.
    """
    table = np.full((1 << 16) + 1, IGNORE, np.uint8)
    bad = np.ones(table.shape, bool)
    bad[list(ignore)] = False
    for stored, class_id in pairs:
        table[stored], bad[stored] = class_id, False
    return table, bad


def _npy(file: Path, task: str, shape: str, axes: int) -> np.ndarray:
    return _numbers(read_npy(file, task), file, task, shape, axes)


def _numbers(array: np.ndarray, file: Path, task: str, shape: str, axes: int) -> np.ndarray:
    if array.ndim == 3 and axes == 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != axes or (axes == 3 and array.shape[-1] != 3) or array.dtype.kind not in "fiub":
        problem = f"array of shape {array.shape} and dtype {array.dtype}, expected {shape}"
        raise DataError(problem, file=file, field=task, mend="Save it in that form")
    return array


def _fitting(valid: np.ndarray | None, shape: tuple[int, ...], file: Path, task: str) -> Any:
    """A mask for a label of that shape, True if there is none."""
    if valid is not None and valid.shape != shape:
        sizes = ["x".join(map(str, s)) for s in (shape, valid.shape)]
        problem = f"label is {sizes[0]} (height x width), but what masks it is {sizes[1]}"
        raise DataError(problem, file=file, field=task, mend="Resize one to the other by nearest neighbour")
    return True if valid is None else valid


def _channels_first(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


@functools.lru_cache(maxsize=16)
def _id_table(classes: int, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Stored value -> class id (255 = ignore), and stored value -> is it out of range.

    Both have 257 entries: the last, which an index of -1 reads, is for a stored -1.
    """
    stored = np.append(np.arange(256), -1)
    ignored = np.isin(stored, labels.ignore)
    ids = stored + labels.offset
    bad = ~ignored & ((ids < 0) | (ids >= classes))
    return np.where(ignored | bad, IGNORE, ids).astype(np.uint8), bad
