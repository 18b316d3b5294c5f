"""One stored map to the tensor that a metric takes, with a batch axis of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.arrays import read_mat, read_npy, read_pixels
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
    array = _plane(file, how, "class ids")
    if array.dtype.kind == "f" and not np.all(np.mod(array, 1) == 0):
        mend = "Save the arg-max, not scores"
        raise DataError("holds numbers that are no class ids", file=file, mend=mend)
    ids = array.astype(np.int64) + how.offset
    ids[_ignored(array, how.ignore)] = IGNORE
    return torch.from_numpy(ids)[None]


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

    A PNG's black, white and mid-grey mean no normal.
    """
    array = _array(file, how)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] != 3 or array.dtype.kind not in "fiu":
        problem = f"array of shape {array.shape} and dtype {array.dtype}, expected (H, W, 3) numbers"
        raise DataError(problem, file=file, mend="Save vectors")
    vectors = array.astype(np.float64)
    if file.suffix.lower() == ".png":
        grey = (array == array[..., :1]).all(-1) & np.isin(array[..., 0], (0, 127, 128, 255))
        vectors = np.where(grey[..., None], 0.0, 2 * vectors / 255 - 1)
    return torch.from_numpy(np.ascontiguousarray(vectors.transpose(2, 0, 1)))[None]


def read_probability(file: Path, how: Stored) -> Tensor:
    """Probabilities, (1, 1, H, W) float32: 0 to 255 in a PNG, else 0 to 1."""
    array = _plane(file, how, "probabilities")
    if file.suffix.lower() == ".png" or array.dtype == np.uint8:
        array = array / np.float32(255)
    p = array.astype(np.float32)
    if ((p < 0) | (p > 1)).any():  # false for NaN, which matters only at a valid pixel
        low, high = np.nanmin(p), np.nanmax(p)
        problem = f"values from {low:g} to {high:g} are no probabilities"
        raise DataError(problem, file=file, mend="Save them after the sigmoid, 0 to 1 (in PNG 0 to 255)")
    return torch.from_numpy(p)[None, None]


def read_mask(file: Path, how: Stored) -> Tensor:
    """A mask, (1, 1, H, W) float32: 1 where set, 0 where not, 255 ignored. Stored as 0 and 1, or 0 and 255."""
    return torch.from_numpy(_mask(_plane(file, how, "a mask"), file, how))[None, None]


def read_boundaries(file: Path, how: Stored) -> Tensor:
    """Boundaries by one or more annotators, (1, A, H, W) float32 as `read_mask`, read as `how.reading` says.

    A .mat file may be one of BSDS500 (`groundTruth`, with several annotators) or of PASCAL-Context (`LabelMap`).
    """
    read = READINGS[how.reading]
    if how.reading == "contour":
        labels = read_labels(file, how)
        edge = np.where(_ignored(labels, how.ignore), IGNORE, read(labels))
        return torch.from_numpy(edge.astype(np.float32))[None, None]
    value = _array(file, how, "groundTruth")
    drawn = [v["Boundaries"] for v in _listed(value) if isinstance(v, dict) and "Boundaries" in v]
    if drawn and all(isinstance(d, np.ndarray) and d.ndim == 2 for d in drawn):
        if len({d.shape for d in drawn}) > 1:
            raise DataError("annotations of different sizes", file=file, mend="Restore the file")
        masks = [_mask(d, file, how) for d in drawn]
    else:
        masks = [_mask(_flat(value, file, "a mask"), file, how)]
    return torch.from_numpy(np.stack([np.where(m == IGNORE, m, read(m == 1)) for m in masks]).astype(np.float32))[None]


def read_labels(file: Path, how: Stored) -> np.ndarray:
    """A label map as stored, (H, W) numbers; every value, 0 included, is a segment."""
    return _flat(_array(file, how, "LabelMap"), file, "labels")


def _mask(array: np.ndarray, file: Path, how: Stored) -> np.ndarray:
    ignored = _ignored(array, how.ignore)
    values = np.unique(array[~ignored])
    top = 255 if 255 in values else 1
    wrong = values[~np.isin(values, (0, top))]
    if len(wrong):
        mend = "Store 0 and 1, or 0 and 255; name what means no label with --ignore"
        raise DataError(f"value {wrong[0]} in a mask that also uses 0 and {top}", file=file, mend=mend)
    return np.where(ignored, IGNORE, array != 0).astype(np.float32)


def _ignored(array: np.ndarray, values: Sequence[float]) -> np.ndarray:
    nan = np.isnan(array) if any(v != v for v in values) else np.zeros(array.shape, dtype=bool)
    return np.isin(array, [v for v in values if v == v]) | nan


def _plane(file: Path, how: Stored, what: str) -> np.ndarray:
    return _flat(_array(file, how), file, what)


def _flat(array: Any, file: Path, what: str) -> np.ndarray:
    """One plane of numbers; three equal ones, as many programs store grey, count as one."""
    if isinstance(array, np.ndarray) and array.ndim == 3:
        if 1 in (array.shape[0], array.shape[-1]):
            array = array.squeeze(0 if array.shape[0] == 1 else -1)
        elif array.shape[-1] == 3 and (array == array[..., :1]).all():
            array = array[..., 0]
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size:
        shape = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        mend = "Save one plane of numbers, not colours"
        raise DataError(f"holds {shape}, expected (H, W) numbers: {what}", file=file, mend=mend)
    return array


def _array(file: Path, how: Stored, key: str | None = None) -> Any:
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return read_npy(file, "map")
    if suffix == ".mat":
        return _variable(file, how.key, key)
    array, mode = read_pixels(file)
    if mode not in ("L", "P", "1", "I", "I;16", "RGB"):
        raise DataError(f"PNG mode is {mode}", file=file, mend="Save one channel (three for normals) without alpha")
    return array


def _variable(file: Path, wanted: str | None, usual: str | None) -> Any:
    variables = read_mat(file)
    name = wanted or (usual if usual in variables else None)
    if name is None and len(variables) == 1:
        name = next(iter(variables))
    if name not in variables:
        problem = f"no variable {wanted!r}" if wanted else "more than one variable"
        mend = f"Name one with --pred-key or --gt-key: {', '.join(sorted(variables)) or 'it has none'}"
        raise DataError(problem, file=file, mend=mend)
    return variables[name]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim == 1) else [value]
