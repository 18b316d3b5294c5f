"""One stored map to the tensor that a metric takes, with a batch axis of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk.arrays import read_mat, read_npy, read_pixels
from mtlrepro.errors import DataError
from mtlrepro.metrics.boundary.truth import READINGS

IGNORE = 255


@dataclass(frozen=True)
class Stored:
    """How the maps of one side are stored.

    Attributes:
        key: variable of a .mat file; the only one if it is not given.
        offset: added to stored class ids.
        unit: metres a stored 1 stands for; None if not given.
        ignore: stored values that mean "no label" (a NaN matches NaN).
        reading: a key of `READINGS`, for boundaries.
    """

    key: str | None = None
    offset: int = 0
    unit: float | None = None
    ignore: tuple[float, ...] = ()
    reading: str = "as-is"


def read_classes(file: Path, how: Stored) -> Tensor:
    """Class ids, (1, H, W) int64; ignored ones are 255."""
    array = _plane(file, how, "class ids", ids=True)
    ignored = _ignored(array, how.ignore)
    known = np.where(ignored, 0, array)
    if not _whole(known):
        raise DataError("holds numbers that are no class ids", file=file, mend="Save the arg-max, not scores")
    ids = known.astype(np.int64) + how.offset
    if (~ignored & (ids == IGNORE)).any():
        mend = f"If {IGNORE - how.offset} means no label, name it with --ignore"
        raise DataError(f"holds class id {IGNORE}, which stands for no label here", file=file, mend=mend)
    return torch.from_numpy(np.where(ignored, IGNORE, ids))[None]


def read_depth(file: Path, how: Stored) -> Tensor:
    """Metres, (1, 1, H, W) float64; ignored ones are 0."""
    array = _plane(file, how, "depths")
    if file.suffix.lower() == ".png" and how.unit is None:
        mend = "Give --pred-unit or --gt-unit, 0.001 for millimetres"
        raise DataError("a PNG does not say what its depths mean", file=file, mend=mend)
    metres = array.astype(np.float64) * (1.0 if how.unit is None else how.unit)
    return torch.from_numpy(np.where(_ignored(array, how.ignore), 0.0, metres))[None, None]


def read_normals(file: Path, how: Stored) -> Tensor:
    """Vectors, (1, 3, H, W) float64: (H, W, 3) or (3, H, W) numbers, or an RGB PNG of (n + 1) / 2 * 255.

    A PNG's black, white and mid-grey mean no normal, as does an ignored value in all three components.
    """
    array = _array(file, how)
    if isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    sound = isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[-1] == 3 and array.dtype.kind in "fiu"
    if not sound or not array.size:
        raise DataError(f"holds {_form(array)}, expected (H, W, 3) numbers: vectors", file=file, mend="Save vectors")
    vectors = array.astype(np.float64)
    if file.suffix.lower() == ".png":
        grey = (array == array[..., :1]).all(-1) & np.isin(array[..., 0], (0, 127, 128, 255))
        vectors = np.where(grey[..., None], 0.0, 2 * vectors / 255 - 1)
    vectors = np.where(_ignored(array, how.ignore).all(-1, keepdims=True), 0.0, vectors)
    return torch.from_numpy(np.ascontiguousarray(vectors.transpose(2, 0, 1)))[None]


def read_probability(file: Path, how: Stored) -> Tensor:
    """Probabilities, (1, 1, H, W): stored as 0 to 255 in 8 bits, 0 and 1 in one bit, else 0 to 1.

    Whether they are within [0, 1] is asked where they are valid, by the metric. 8-bit levels are divided in float64,
    so that 51 / 255 is 0.2 and not above it: as in the comparison that the published saliency figures were made with.
    """
    array = _plane(file, how, "probabilities")
    if array.dtype == np.uint8:
        array = array / 255
    elif array.dtype.kind in "iu" and not np.isin(array, (0, 1)).all():
        mend = "Save 0 to 255 in 8 bits, or 0 to 1 as floating point numbers"
        raise DataError(f"holds {array.dtype} up to {array.max()}, no probabilities", file=file, mend=mend)
    return torch.from_numpy(array.astype(np.promote_types(array.dtype, np.float32)))[None, None]


def read_mask(file: Path, how: Stored) -> Tensor:
    """A mask, (1, 1, H, W) float32: 1 where set, 0 where not, 255 ignored. Stored as 0 and 1, or 0 and 255."""
    return torch.from_numpy(_mask(_plane(file, how, "a mask"), file, how))[None, None]


def read_boundaries(file: Path, how: Stored) -> Tensor:
    """Boundaries by one or more annotators, (1, A, H, W) float32 as `read_mask`, read as `how.reading` says.

    A .mat file may be one of BSDS500 (`groundTruth`, with several annotators) or of PASCAL-Context (`LabelMap`).
    """
    read = READINGS[how.reading]
    if how.reading == "contour":
        labels, known = read_labels(file, how)
        return torch.from_numpy(np.where(known, read(labels, known), IGNORE).astype(np.float32))[None, None]
    value = _array(file, how, "groundTruth")
    drawn = [v["Boundaries"] for v in _listed(value) if isinstance(v, dict) and "Boundaries" in v]
    if drawn and all(isinstance(d, np.ndarray) and d.ndim == 2 for d in drawn):
        if len({d.shape for d in drawn}) > 1:
            raise DataError("annotations of different sizes", file=file, mend="Restore the file")
        masks = [_mask(d, file, how) for d in drawn]
    else:
        masks = [_mask(_flat(value, file, "a mask"), file, how)]
    return torch.from_numpy(np.stack([np.where(m == IGNORE, m, read(m == 1)) for m in masks]).astype(np.float32))[None]


def read_labels(file: Path, how: Stored) -> tuple[np.ndarray, np.ndarray]:
    """A label map as stored, (H, W) numbers of which every one, 0 included, is a segment; and where it is known."""
    value = _array(file, how, "LabelMap", ids=True)
    if not isinstance(value, np.ndarray) or value.dtype == object:
        mend = "Read annotators' maps with --protocol odsf/bsds@1 or --truth as-is, or name a label map with --gt-key"
        raise DataError(f"holds {_form(value)}, expected a label map", file=file, mend=mend)
    labels = _flat(value, file, "labels")
    known = ~_ignored(labels, how.ignore)
    if not _whole(np.where(known, labels, 0)):
        mend = "A label map holds whole numbers; name what means no label with --ignore"
        raise DataError("holds numbers that are no labels", file=file, mend=mend)
    return labels, known


def _whole(array: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.mod(array, 1) == 0) & (np.abs(array) < 2**31)))


def _mask(array: np.ndarray, file: Path, how: Stored) -> np.ndarray:
    ignored = _ignored(array, how.ignore)
    values = np.unique(array[~ignored])
    top = 255 if 255 in values else 1
    wrong = values[~np.isin(values, (0, top))]
    if len(wrong):
        mend = "Store 0 and 1, or 0 and 255; name what means no label with --ignore"
        raise DataError(f"value {wrong[0]} in a mask of 0 and {top}", file=file, mend=mend)
    return np.where(ignored, IGNORE, array != 0).astype(np.float32)


def _ignored(array: np.ndarray, values: Sequence[float]) -> np.ndarray:
    nan = np.isnan(array) if any(v != v for v in values) else np.zeros(array.shape, dtype=bool)
    return np.isin(array, [v for v in values if v == v]) | nan


def _plane(file: Path, how: Stored, what: str, ids: bool = False) -> np.ndarray:
    return _flat(_array(file, how, ids=ids), file, what)


def _flat(array: Any, file: Path, what: str) -> np.ndarray:
    """One plane of numbers; three equal ones, as many programs store grey, count as one."""
    if isinstance(array, np.ndarray) and array.ndim == 3:
        if 1 in (array.shape[0], array.shape[-1]):
            array = array.squeeze(0 if array.shape[0] == 1 else -1)
        elif array.shape[-1] == 3 and (array == array[..., :1]).all():
            array = array[..., 0]
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size:
        mend = "Save one plane of numbers, not colours"
        raise DataError(f"holds {_form(array)}, expected (H, W) numbers: {what}", file=file, mend=mend)
    return np.ascontiguousarray(array)


def _form(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return {"dict": "a struct", "list": "a cell array", "str": "a text"}.get(type(value).__name__, repr(value))


def _array(file: Path, how: Stored, key: str | None = None, ids: bool = False) -> Any:
    """What a file holds; a palette's indices only as ids, for elsewhere they are not what they look like."""
    suffix = file.suffix.lower()
    if suffix == ".npy":
        array = read_npy(file, "map")
        return array.astype(np.float64) if array.dtype == np.longdouble else array
    if suffix == ".mat":
        return _variable(file, how.key, key)
    array, mode = read_pixels(file)
    if mode not in ("L", "1", "I", "I;16", "RGB") and not (mode == "P" and ids):
        mend = "Save one channel (three for normals) without palette or alpha"
        raise DataError(f"PNG mode is {mode}", file=file, mend=mend)
    return array


def _variable(file: Path, wanted: str | None, usual: str | None) -> Any:
    variables = read_mat(file)
    name = wanted or (usual if usual in variables else None)
    if name is None and len(variables) == 1:
        name = next(iter(variables))
    if not variables:
        raise DataError("holds no variable", file=file, mend="Save one map in it")
    if name not in variables:
        problem = f"no variable {wanted!r}" if wanted else "more than one variable"
        mend = f"Name one with --pred-key or --gt-key: {', '.join(sorted(variables))}"
        raise DataError(problem, file=file, mend=mend)
    return variables[name]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim == 1) else [value]
