"""The labelled frames of NYU Depth v2 as they are first published: one MATLAB 7.3 file, the split, the class mapping.

`mtlrepro data prepare` makes datasets of these; with rooms in them it can be rehearsed without a licence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from mtlrepro.data.disk.synthesize.base import Writer
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.classes import NYU40
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import MissingExtra

FILE, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"

FIRST_CLASSES = 894

MAPPED = (np.arange(FIRST_CLASSES) % 40 + 1).astype(np.uint8)
"""Of the 894 classes onto 40: any will do, the published one is a fact about words."""

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"

INDEX = {"train": "trainNdxs", "val": "testNdxs"}

TARGETS = ("image", "semseg", "instances", "depth", "depth_dense", "normals")


class LabelledMat(Writer):
    """`images`, `depths` (in-painted), `rawDepths`, `labels` and `instances`, HDF5 with MATLAB's axes in reverse."""

    native: ClassVar[tuple[int, int]] = (480, 640)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Rooms with 40 classes; `depth_dense` is what the file calls `depths`, `depth` its `rawDepths`."""
        for number in self.numbers(split, n):
            room = render(layout(self.seed, number), *self.size, classes=40, seed=number)
            yield f"{number:07d}", {target: room[target] for target in TARGETS}

    def store(self, split: str, name: str, sample: Sample) -> None:
        """Append one frame; the frames of all splits are numbered from 1 in the order in which they come."""
        ids, instances = sample["semseg"].numpy(), sample["instances"].numpy()
        first = ids.astype(np.uint16) + 1 + 40 * (instances % 22).astype(np.uint16)  # any that maps onto the class
        frame = {
            "images": sample["image"].numpy().transpose(0, 2, 1),
            "depths": sample["depth_dense"].numpy().T,
            "rawDepths": sample["depth"].numpy().T,
            "labels": np.where(ids == 255, 0, first).astype(np.uint16).T,
            "instances": instances.astype(np.uint8).T,
        }
        with _hdf5().File(self.root / FILE, "a", userblock_size=512) as stream:
            for variable, values in frame.items():
                known = stream.get(variable)
                if known is None:
                    shape, form = values.shape, {"chunks": (1, *values.shape), "compression": 1}
                    known = stream.create_dataset(variable, (0, *shape), values.dtype, maxshape=(None, *shape), **form)
                known.resize(len(known) + 1, axis=0)
                known[-1] = values

    def write(self, split: str, n: int) -> Iterator[None]:
        """Also the list of frames of the split, and the mapping."""
        from scipy.io import loadmat

        file, splits = self.root / SPLITS, {}
        if file.exists():
            splits = {name: value for name, value in loadmat(file).items() if not name.startswith("__")}
        first = 1 + sum(value.size for value in splits.values())
        yield from super().write(split, n)
        with (self.root / FILE).open("r+b") as stream:
            stream.write(HEADER)
        numbers = np.arange(first, first + n, dtype=np.uint16)[:, None]
        self.mat(SPLITS, {**splits, INDEX[split]: numbers})
        names = np.array([NYU40], object)
        self.mat(MAPPING, {"mapClass": MAPPED[None], "className": names})


def _hdf5() -> Any:
    try:
        import h5py
    except ImportError:
        mend = 'Install it: pip install "mtlrepro[hdf5]"'
        raise MissingExtra("HDF5 files need h5py, which is not installed", mend=mend) from None
    return h5py
