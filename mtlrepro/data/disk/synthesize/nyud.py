"""NYUD-v2 as the public reference implementation of MTI-Net distributes it (folder NYUD_MT)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from PIL import Image

from mtlrepro.data.disk.synthesize.base import Writer, channels_last
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render

TARGETS = ("image", "semseg", "depth", "normals", "edges")


class NyudRelease(Writer):
    """`images/*.jpg`, `segmentation/*.png` (0 unlabelled, 1..40), `{depth,normals,edge}/*.npy`, `gt_sets/*.txt`."""

    native: ClassVar[tuple[int, int]] = (480, 640)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Rooms with 40 classes."""
        for number in self.numbers(split, n):
            room = render(layout(self.seed, number), *self.size, classes=40, seed=number)
            yield f"{number:07d}", {target: room[target] for target in TARGETS}

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One file a target; JPEG loses what it loses."""
        image = Image.fromarray(channels_last(sample["image"]))
        image.save(self.place(f"images/{name}.jpg"), quality=95, subsampling=0)
        ids = sample["semseg"].numpy()
        self.png(f"segmentation/{name}.png", np.where(ids == 255, 0, ids + 1).astype(np.uint8))
        self.npy(f"depth/{name}.npy", sample["depth"].numpy())
        self.npy(f"normals/{name}.npy", channels_last(sample["normals"]))
        self.npy(f"edge/{name}.npy", sample["edges"].numpy())

    def write(self, split: str, n: int) -> Iterator[None]:
        """Also the id list."""
        yield from super().write(split, n)
        self.lines(f"gt_sets/{split}.txt", [f"{number:07d}" for number in self.numbers(split, n)])
