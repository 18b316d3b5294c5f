"""Files to numpy arrays: PNG, npy, mat and HDF5, with one error for whatever is wrong. Nothing pickled is loaded."""

from __future__ import annotations

import struct
import tokenize
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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


def read_pixels(file: Path) -> tuple[np.ndarray, str]:
    """An image's values as stored, (H, W) or (H, W, channels), and its Pillow mode.

    Raises:
        DataError: missing or damaged.
    """
    try:
        with Image.open(file) as image:
            return np.array(image), image.mode
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
        with file.open("rb") as stream:
            variables = loadmat(stream, simplify_cells=True)
    except NotImplementedError:
        problem = "a MATLAB 7.3 (HDF5) file"
        raise DataError(problem, file=file, mend="Save it in version 7: save(name, 'x', '-v7')") from None
    except (MatReadError, KeyError, IndexError, UnicodeError, *_DAMAGE) as error:
        raise _damaged(file, error) from None
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def read_hdf5(file: Path, name: str) -> np.ndarray:
    """One array of an HDF5 file.

    Raises:
        DataError: missing, damaged, or without that array.
        MissingExtra: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        mend = 'Install it: pip install "mtlrepro[hdf5]"'
        raise MissingExtra("HDF5 files need h5py, which is not installed", file=file, mend=mend) from None
    try:
        with h5py.File(file, "r") as stream:
            names = sorted(stream)
            if isinstance(stream.get(name), h5py.Dataset):
                return np.asarray(stream[name][()])
    except (KeyError, RuntimeError, *_DAMAGE) as error:
        raise _damaged(file, error) from None
    mend = f"Store it under {name!r}, or restore the file"
    raise DataError(f"no such array; the file holds {', '.join(names) or 'nothing'}", file=file, field=name, mend=mend)


def _damaged(file: Path, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError("no such file", file=file, mend="Restore it, or take its id out of the split")
    if isinstance(error, PermissionError):
        return DataError(f"cannot be read ({error.strerror})", file=file, mend="Change its permissions")
    reason = "; ".join(str(error).split("\n")).rstrip(".") or type(error).__name__
    return DataError(f"cannot be read ({reason})", file=file, mend="It is truncated or damaged: restore it")
