"""Is a file whole? Its ends tell, at a hundredth of the cost of decoding it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtlrepro.data.disk.arrays import PNG, check_regular, read_mat, read_pixels
from mtlrepro.data.disk.paths import denied
from mtlrepro.errors import DataError

ENDS = 4096
"""Bytes of either end that are looked at; some programs leave a few bytes behind the end of an image."""


def check_intact(file: Path) -> None:
    """Raise a `DataError` if a file is no regular one, empty, cut short or not what its name says; others pass.

    Damage inside a file whose ends are whole is found when it is decoded.

    Raises:
        DataError: as said; also if the file may not be read.
        OSError: there is no such file.
    """
    size = check_regular(file).st_size
    if not size:
        raise DataError("the file is empty", file=file, mend="Copy or download it again")
    check = _CHECKS.get(file.suffix.lower())
    if check is not None:
        try:
            check(file, size)
        except PermissionError:
            raise denied(file) from None


def _image(begin: bytes, end: bytes) -> Callable[[Path, int], None]:
    def check(file: Path, size: int) -> None:
        with file.open("rb") as stream:
            head = stream.read(len(begin))
            stream.seek(-min(size, ENDS), os.SEEK_END)
            whole = head == begin and end in stream.read()
        if not whole:  # some images without a proper end can be read all the same
            read_pixels(file)

    return check


def _npy(file: Path, size: int) -> None:
    mend = "It is truncated or damaged: restore it"
    try:
        with file.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
            expected = stream.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"not a whole npy file ({error})", file=file, mend=mend) from None
    if not dtype.hasobject and size != expected:
        raise DataError(f"{size} bytes, its header promises {expected}", file=file, mend=mend)


def _json(file: Path, size: int) -> None:
    try:
        json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})", file=file, mend="Restore it") from None


def _hdf5(file: Path, size: int) -> None:
    try:
        import h5py
    except ImportError:  # said clearly by whoever reads it
        return
    try:
        with h5py.File(file, "r"):  # fails if the file is shorter than it says
            pass
    except PermissionError:
        raise
    except OSError as error:
        mend = "It is truncated or damaged: restore it"
        raise DataError(f"not a whole HDF5 file ({error})", file=file, mend=mend) from None


_PNG = _image(PNG, b"IEND\xaeB`\x82")
_JPEG = _image(b"\xff\xd8", b"\xff\xd9")
_CHECKS: dict[str, Callable[[Path, int], object]] = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".npy": _npy,
    ".json": _json,
    ".h5": _hdf5,
    ".mat": lambda file, size: read_mat(file),
}
