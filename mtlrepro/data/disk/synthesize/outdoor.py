"""What the writers of street scenes share: streets seen by a release's camera, and what readers make of them."""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.marker import read_marker
from mtlrepro.data.disk.readers.shuffled import dealt
from mtlrepro.data.disk.synthesize.base import Writer
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.generated import FIRST_INDEX
from mtlrepro.data.scenes.streets.capture import Capture, capture
from mtlrepro.data.scenes.streets.classes import THINGS
from mtlrepro.data.scenes.streets.layout import layout
from mtlrepro.data.surface import EVALUATED, camera_matrix, normals_from_depth
from mtlrepro.errors import DataError


class StreetRelease(Writer):
    """A layout of street scenes.

    Attributes:
        KEY: of the dataset, whose description holds the camera of the released rule for normals.
        LENS: of the release's camera.
        CLASS_OF: thing -> class id, for those that have one.
    """

    KEY: ClassVar[str]
    LENS: ClassVar[Lens]
    CLASS_OF: ClassVar[Mapping[str, int]]

    @abstractmethod
    def name(self, split: str, number: int) -> str:
        """The id of the scene of a number."""

    @abstractmethod
    def store_views(self, split: str, name: str, views: list[Capture]) -> None:
        """Write the files of one sample."""

    def write(self, split: str, n: int) -> Iterator[None]:
        """Write n samples of a split; yields after each sample."""
        for number in self.numbers(split, n):
            self.store_views(split, self.name(split, number), self.views(number))
            yield

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Id and sample of every scene of a split, as `Writer.scenes` tells."""
        for number in self.numbers(split, n):
            yield self.name(split, number), self.sample(split, self.views(number))

    def views(self, number: int) -> list[Capture]:
        """What the cameras of a street see, the labelled view first."""
        scene = layout(self.seed, number, self.LENS, self.drive(number))
        return [capture(scene, *self.size, view=view, seed=number) for view in range(len(scene.cameras))]

    def drive(self, number: int) -> tuple[float, ...]:
        """Metres driven at each further view."""
        return ()

    def depth(self, view: Capture) -> Tensor:
        """(H, W) float32 metres before any rounding, 0 where the release has none."""
        return view.depth

    def sample(self, split: str, views: list[Capture]) -> Sample:
        """What a reader with its usual options makes of the files, but for their precision."""
        depth, (near, far) = self.depth(views[0]), EVALUATED
        valid = depth > 0 if split == "train" else (depth > near) & (depth < far)
        return {
            "image": views[0].image,
            "semseg": looked_up({**dict.fromkeys(THINGS, 255), **self.CLASS_OF}, views[0].things).to(torch.uint8),
            "depth": depth,
            "normals": normals_from_depth(depth, self.camera(), "released", valid),
        }

    def camera(self) -> Tensor:
        """(3, 3) float64 intrinsics that readers take for the released rule for normals."""
        return camera_matrix(load(LAYOUTS / f"{self.KEY}.toml").camera, self.size)


class ShuffledRelease(StreetRelease):
    """A layout without splits: readers draw them from all images, so that what was written for one split is partly
    read in the other."""

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Id and sample of every image that a reader finds in a split of a finished copy.

        Raises:
            DataError: the copy has no marker yet.
        """
        marker = read_marker(self.root)
        if marker is None:
            problem = "what belongs to a split depends on how many images there are in all"
            raise DataError(problem, file=self.root, mend="Ask when the copy is complete")
        numbers = {self.name(s, i): i for s, count in marker.counts.items() for i in self.numbers(s, count)}
        for name in dealt(list(numbers), marker.counts, "released", 42)[split]:
            yield name, self.sample(split, self.views(numbers[name]))


def looked_up(table: Mapping[str, int], things: Tensor) -> Tensor:
    """(H, W) int64: the value of each pixel's thing; every thing has one."""
    return torch.tensor([table[name] for name in THINGS])[things.long()]


def position(split: str, number: int) -> int:
    """0 for the first scene of a split, 1 for the next."""
    return number - FIRST_INDEX[split]


def centimetres(depth: Tensor) -> np.ndarray:
    """(H, W) uint16, at most 65535."""
    return (depth.double() * 100).round().clamp(0, 65535).numpy().astype(np.uint16)


def png_16_bit_rgb(array: np.ndarray) -> bytes:
    """The bytes of a PNG file of (H, W, 3) uint16, which Pillow cannot write."""
    height, width, _ = array.shape
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], 1)  # a line starts with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
