"""Contents of files, and label maps at another size."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

JPEG_QUALITY = 98
"""With full colour resolution: an error of about one grey level, in a third of a PNG's size."""


def npy(array: np.ndarray) -> bytes:
    """An npy file."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def png(array: np.ndarray) -> bytes:
    """A PNG of (H, W) uint8."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(stream, "PNG")
    return stream.getvalue()


def jpeg(array: np.ndarray) -> bytes:
    """A JPEG of (H, W, 3) uint8."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue()


def lines(values: Iterable[str]) -> bytes:
    """A text file of one value a line."""
    return "".join(f"{value}\n" for value in values).encode()


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) or (H, W, C) at another (height, width): the pixels whose areas hold the new pixels' centres."""
    rows, columns = ((2 * np.arange(m) + 1) * n // (2 * m) for n, m in zip(array.shape[:2], size, strict=True))
    return array[rows[:, None], columns]
