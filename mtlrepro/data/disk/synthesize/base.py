"""What writes the embedded scenes to disk in the byte formats of a released dataset."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from scipy.io import savemat
from torch import Tensor

from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.generated import FIRST_INDEX


class Writer(ABC):
    """One layout: `write` puts samples below `root` exactly as the release stores them.

    A layout of one or several files a sample is `scenes` and `store`; what files hold besides, or of several samples,
    is the business of an own `write`. Constants of the release (units, offsets, statistics) are written down in the
    writer again: taken from the reader's description, a wrong one would cancel out. Only the cameras of street scenes
    come from there; a test pins their figures.

    Args:
        root: the layout's own root folder, for example DIR/NYUD_MT; it exists and is empty.
        size: (height, width) of the images to write.
        seed: another seed is another set of scenes.

    Attributes:
        native: (height, width) of the release's files.
    """

    native: ClassVar[tuple[int, int]]

    def __init__(self, root: Path, size: tuple[int, int], seed: int):
        self.root, self.size, self.seed = root, size, seed

    @abstractmethod
    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """What `write` writes: the id by which the reader knows a sample, and the sample that it should read.

        Everything is as in `mtlrepro.data.sample`, before any rounding; sample i is the same whatever n is.
        """

    def store(self, split: str, name: str, sample: Sample) -> None:
        """Write the files of one sample; to be given by every layout that keeps `write` as it is here."""
        raise NotImplementedError

    def write(self, split: str, n: int) -> Iterator[None]:
        """Write n samples of a split, its id list included; yields after each sample."""
        for name, sample in self.scenes(split, n):
            self.store(split, name, sample)
            yield

    def numbers(self, split: str, n: int) -> range:
        """The scene numbers of the first n samples of a split; the splits never share a scene."""
        return range(FIRST_INDEX[split], FIRST_INDEX[split] + n)

    def place(self, path: str) -> Path:
        """The file of a path relative to the root, its folder made."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def npy(self, path: str, array: np.ndarray) -> None:
        """Write a numpy array."""
        np.save(self.place(path), array, allow_pickle=False)

    def png(self, path: str, array: np.ndarray) -> None:
        """Write a PNG: (H, W) uint8 or uint16 grey, or (H, W, 3) uint8 RGB."""
        Image.fromarray(array).save(self.place(path), compress_level=1)

    def mat(self, path: str, variables: dict[str, Any]) -> None:
        """Write a compressed MATLAB 5 file; its header, which scipy dates, is the same whenever it is written."""
        stream = io.BytesIO()
        savemat(stream, variables, do_compression=True)
        header = b"MATLAB 5.0 MAT-file, written by mtlrepro"
        self.place(path).write_bytes(header.ljust(116) + stream.getvalue()[116:])

    def lines(self, path: str, lines: list[str]) -> None:
        """Write a text file such as an id list, one line each."""
        self.place(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def channels_last(tensor: Tensor) -> np.ndarray:
    """(C, H, W) as a contiguous array (H, W, C)."""
    return np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())


def whole(values: Tensor, low: int, high: int) -> np.ndarray:
    """Rounded to integers in [low, high], as the narrowest unsigned type that holds them."""
    rounded = values.double().round().clamp(low, high).numpy()
    return rounded.astype(np.uint8 if high < 256 else np.uint16)
