"""Files to numpy arrays: PNG, npy, mat and HDF5, with one error for whatever is wrong. Nothing pickled is loaded."""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mtlrepro.data.disk.paths import denied
from mtlrepro.errors import DataError, MissingExtra

_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    MemoryError,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    Image.DecompressionBombError,
)
"""What Pillow, numpy and scipy raise on files that are cut short, altered, or not what their name says."""


_FORMATS = {".png": ("PNG",), ".jpg": ("JPEG",), ".jpeg": ("JPEG",)}
"""Suffix -> what Pillow may take the file for. It knows many more formats: some run programs, and a JPEG under the name
of a PNG is no label map."""


def check_regular(file: Path) -> os.stat_result:
    """What the system says of a file, which must be one: opening a pipe would wait for ever.

    Raises:
        DataError: a folder, a pipe, a device or a socket.
        OSError: there is no such file, or it may not be looked at.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError("not a regular file", file=file, mend="Restore it: a folder, a pipe or a device has its name")
    return found


PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG file."""


def read_start(file: Path, n: int) -> bytes:
    """The first n bytes of a file, fewer if it is shorter.

    Raises:
        DataError: missing, or it cannot be read.
    """
    try:
        check_regular(file)
        with file.open("rb") as stream:
            return stream.read(n)
    except OSError as error:
        raise _damaged(file, error) from None


def read_pixels(file: Path) -> tuple[np.ndarray, str]:
    """The values of a PNG or JPEG as stored, (H, W) or (H, W, channels), and its Pillow mode.

    Raises:
        DataError: missing, damaged, or not what its suffix says.
    """
    formats = _FORMATS.get(file.suffix.lower(), ("PNG", "JPEG"))
    try:
        check_regular(file)
        with Image.open(file, formats=formats) as image:
            return np.array(image), image.mode
    except UnidentifiedImageError:
        problem = f"cannot be read (not a {' or '.join(formats)} file)"
        mend = "It is truncated or damaged, or of another format than its name says: restore it"
        raise DataError(problem, file=file, mend=mend) from None
    except _DAMAGE as error:
        raise _damaged(file, error) from None


def read_channels(file: Path, field: str) -> np.ndarray:
    """A PNG's values as stored, (H, W, channels) uint8 or uint16: with 16 bits a channel, too.

    Of three or four channels of 16 bits Pillow keeps the high bytes alone. Read as if the low byte of each value came
    last, as in a little-endian file, the same file gives the other one. (The decoder of torchvision 0.29 reads 16
    bits, but damaged files can crash it.)

    Raises:
        DataError: missing, damaged, not a PNG, or of another mode.
    """
    try:
        check_regular(file)
        with Image.open(file, formats=("PNG",)) as image:
            mode, stored = image.mode, image.tile[0][3]
            array = np.array(image)
        if stored in _LOW_BYTES:
            with Image.open(file, formats=("PNG",)) as image:
                image.tile = [(*image.tile[0][:3], _LOW_BYTES[stored])]  # type: ignore[list-item]  # as before Pillow 11
                array = array.astype(np.uint16) << 8 | np.array(image)
    except (IndexError, *_DAMAGE) as error:
        raise _damaged(file, error) from None
    if mode not in ("L", "I;16", "I", "RGB", "RGBA") or stored == "LA;16B":
        problem = f"PNG mode is {mode}, stored as {stored}: expected grey or RGB of 8 or 16 bits"
        raise DataError(problem, file=file, field=field, mend="Take channel out of the description, or store it so")
    return array.astype(np.uint16)[..., None] if mode in ("I;16", "I") else np.atleast_3d(array)


_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""Pillow's names of how 16 bits a channel are stored -> how to read the low bytes."""


def read_npy(file: Path, field: str) -> np.ndarray:
    """A numpy array.

    Raises:
        DataError: missing, damaged, not an npy file, or one that holds pickled objects.
    """
    try:
        check_regular(file)
        with file.open("rb") as stream:
            if stream.read(6) != b"\x93NUMPY":
                mend = "Write it with numpy.save (pickles are refused)"
                raise DataError("not an npy file", file=file, field=field, mend=mend)
            stream.seek(0)
            return np.load(stream, allow_pickle=False)
    except _DAMAGE as error:
        if "Object arrays" in str(error):
            mend = "Save it as a plain array of numbers"
            problem = "holds pickled objects, which are never loaded"
            raise DataError(problem, file=file, field=field, mend=mend) from None
        raise _damaged(file, error) from None


def read_mat(file: Path) -> dict[str, Any]:
    """The variables of a MATLAB file of version 7 or older: arrays as they are, structs as dicts, cells as lists.

    Raises:
        DataError: missing, damaged, or of version 7.3.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        check_regular(file)
        with file.open("rb") as stream:
            variables = loadmat(stream, simplify_cells=True)
    except NotImplementedError:
        problem = "a MATLAB 7.3 (HDF5) file"
        raise DataError(problem, file=file, mend="Save it in version 7: save(name, 'x', '-v7')") from None
    except (MatReadError, KeyError, IndexError, UnicodeError, *_DAMAGE) as error:
        raise _damaged(file, error) from None
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def read_hdf5(file: Path, name: str, axes: Collection[int], form: str) -> np.ndarray:
    """One array of an HDF5 file.

    Args:
        file: its path.
        name: of the array.
        axes: how many axes the array may have; no other is read.
        form: what is expected, in words.

    Raises:
        DataError: missing, damaged, or without such an array in the file itself.
        MissingExtra: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        mend = 'Install it: pip install "mtlrepro[hdf5]"'
        raise MissingExtra("HDF5 files need h5py, which is not installed", file=file, mend=mend) from None
    try:
        check_regular(file)
        with h5py.File(file, "r") as stream:
            array = own_array(stream, name, file, f"Store it under {name!r}, or restore the file")
            if array.ndim not in axes:
                problem = f"array of shape {array.shape} and dtype {array.dtype}, expected {form}"
                raise DataError(problem, file=file, field=name, mend="Save it in that form")
            return np.asarray(array[()])
    except (KeyError, RuntimeError, *_DAMAGE) as error:
        raise _damaged(file, error) from None


def own_array(stream: Any, name: str, file: Path, mend: str) -> Any:
    """An array of an open HDF5 file, unread, whose values lie in that file: links may lead to any other file.

    Args:
        stream: `h5py.File`.
        name: of the array.
        file: path of the file, for messages.
        mend: what to do if there is no such array.

    Returns:
        `h5py.Dataset`.

    Raises:
        DataError: there is none, or its values lie elsewhere.
    """
    import h5py

    link = stream.get(name, getlink=True)
    array = stream.get(name) if isinstance(link, h5py.HardLink) else None
    if link is not None and array is None:
        raise DataError("is a link, not an array of this file", file=file, field=name, mend=mend)
    if not isinstance(array, h5py.Dataset):
        names = sorted(stream)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise DataError(f"no such array; the file holds {shown or 'nothing'}", file=file, field=name, mend=mend)
    if array.is_virtual or array.external:
        raise DataError("its values lie in another file", file=file, field=name, mend=mend)
    return array


def _damaged(file: Path, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError("no such file", file=file, mend="Restore it, or take its id out of the split")
    if isinstance(error, PermissionError):
        return denied(file)
    reason = "; ".join(str(error).split("\n")).rstrip(".") or type(error).__name__
    return DataError(f"cannot be read ({reason})", file=file, mend="It is truncated or damaged: restore it")
