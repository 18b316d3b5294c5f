"""NYUD-v2 as the public reference implementation of InvPT distributes it (folder NYUDv2)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mtlrepro.data.disk.synthesize.base import channels_last, whole
from mtlrepro.data.disk.synthesize.nyud import NyudRelease
from mtlrepro.data.sample import Sample


class InvptRelease(NyudRelease):
    """As `NyudRelease`, but images, normals (8 bit) and edges (0 and 255) are PNG files."""

    native: ClassVar[tuple[int, int]] = (425, 560)

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One file a target."""
        self.png(f"images/{name}.png", channels_last(sample["image"]))
        ids = sample["semseg"].numpy()
        self.png(f"segmentation/{name}.png", np.where(ids == 255, 0, ids + 1).astype(np.uint8))
        self.npy(f"depth/{name}.npy", sample["depth"].numpy())
        self.png(f"normals/{name}.png", whole((sample["normals"].permute(1, 2, 0) + 1) * 127.5, 0, 255))
        self.png(f"edge/{name}.png", sample["edges"].numpy() * np.uint8(255))
