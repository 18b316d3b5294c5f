"""Frames of NYUv2 with depth alone, as FastDepth and sparse-to-dense distribute them: one HDF5 file a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mtlrepro.data.disk.synthesize.base import Writer
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.rooms import VIEWS, layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import MissingExtra


class DepthFrames(Writer):
    """`train/<scene>/<frame>.h5` with `rgb` (3, H, W) of 8 bits and `depth` (H, W) float32 metres."""

    native: ClassVar[tuple[int, int]] = (480, 640)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """The views of each room in turn, as the frames of one scene."""
        for i in range(n):
            number, view = self.numbers(split, n)[i // VIEWS], i % VIEWS
            room = render(layout(self.seed, number), *self.size, seed=number, view=view)
            yield f"room_{number:06d}/{view + 1:05d}", {"image": room["image"], "depth": room["depth"]}

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One file."""
        try:
            import h5py
        except ImportError:
            mend = 'Install it: pip install "mtlrepro[hdf5]"'
            raise MissingExtra("HDF5 files need h5py, which is not installed", mend=mend) from None
        with h5py.File(self.place(f"{split}/{name}.h5"), "w") as stream:
            stream["rgb"] = sample["image"].numpy()
            stream["depth"] = sample["depth"].numpy()
