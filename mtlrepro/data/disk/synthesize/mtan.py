"""NYUv2 with 13 classes and Cityscapes with 7 as the public release of MTAN distributes them: one npy array a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from mtlrepro.data.disk.synthesize.base import Writer, channels_last
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes import rooms
from mtlrepro.data.scenes import sample as room
from mtlrepro.data.scenes.streets import layout as streets
from mtlrepro.data.scenes.streets import sample as street


class RoomArrays(Writer):
    """`{train,val}/{image,label,depth,normal}/{0, 1, 2 ...}.npy`, all floats; label -1 is undefined."""

    native: ClassVar[tuple[int, int]] = (288, 384)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Rooms with 13 classes."""
        for i, number in enumerate(self.numbers(split, n)):
            sample = room.render(rooms.layout(self.seed, number), *self.size, classes=13, seed=number)
            yield str(i), {target: sample[target] for target in ("image", "semseg", "depth", "normals")}

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One array a target."""
        _store(self, split, name, sample, "label")
        self.npy(f"{split}/normal/{name}.npy", channels_last(sample["normals"]))


class StreetArrays(Writer):
    """`{train,val}/{image,label_7,depth}/{0, 1, 2 ...}.npy`, floats; depth is the disparity file's values / 65535."""

    native: ClassVar[tuple[int, int]] = (128, 256)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Streets with 7 categories and inverse depth."""
        for i, number in enumerate(self.numbers(split, n)):
            sample = street.render(streets.layout(self.seed, number), *self.size, seed=number)
            yield str(i), {target: sample[target] for target in ("image", "semseg", "depth")}

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One array a target."""
        _store(self, split, name, sample, "label_7")


def _store(writer: Writer, split: str, name: str, sample: Sample, label: str) -> None:
    """What both sets have: image (H, W, 3) in [0, 1], class ids (H, W), depth (H, W, 1)."""
    ids = sample["semseg"].numpy().astype(np.float32)
    writer.npy(f"{split}/image/{name}.npy", channels_last(sample["image"]).astype(np.float32) / 255)
    writer.npy(f"{split}/{label}/{name}.npy", np.where(ids == 255, np.float32(-1), ids))
    writer.npy(f"{split}/depth/{name}.npy", sample["depth"].numpy()[..., None])
