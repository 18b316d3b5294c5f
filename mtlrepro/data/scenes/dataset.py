"""The embedded scenes as a dataset."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.classes import CLASS_SETS, palette
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError, unknown

FIRST_INDEX = {"train": 0, "val": 1_000_000}
"""Scene number of a split's first sample: the splits never share a scene."""

CACHE_BYTES = 2 * 2**30
"""Rendered samples are kept in memory up to so many bytes a split; further ones are rendered again when asked for."""


class Scenes:
    """Procedural rooms; sample i of a split is the same whatever the length.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels.
        length: number of samples.
        classes: 40 or 13, the NYUv2 label set.
        seed: another seed is another set of rooms.

    Raises:
        SpecError: unknown split, label set or a size or length below 1.
    """

    def __init__(self, split: str, size: tuple[int, int], length: int, classes: int = 40, seed: int = 0):
        if split not in FIRST_INDEX:
            raise unknown("split", split, FIRST_INDEX)
        if classes not in CLASS_SETS:
            raise SpecError(f"no label set of {classes} classes", field="classes", mend="Use 40 or 13")
        if length < 1 or min(size) < 1:
            raise SpecError(
                f"{length} scenes of size {size}", field="scenes", mend="Give a length and a size of at least 1"
            )
        self.split, self.size, self.length, self.classes, self.seed = split, (size[0], size[1]), length, classes, seed
        self.info = DatasetInfo(
            name="scenes",
            tasks=("semseg", "depth", "normals", "edges"),
            class_names=CLASS_SETS[classes],
            palette=palette(classes),
            max_depth=8.0,
            edge_tolerance=0.011,  # as NYUD-v2, whose rooms these stand for
        )
        self._cache: dict[int, Sample] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        """The sample's tensors (see `mtlrepro.data.scenes.sample.render`); they are shared, do not write to them."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        if index in self._cache:
            return self._cache[index]
        number = FIRST_INDEX[self.split] + index
        height, width = self.size
        sample = render(layout(self.seed, number), height, width, classes=self.classes, seed=number)
        size = sum(t.numel() * t.element_size() for t in sample.values())
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = sample
            self._cached_bytes += size
        return sample

    def digest(self) -> str:
        """Hex digest of the generator's source and the split's parameters."""
        parameters = [self.split, self.size, self.length, self.classes, self.seed]
        return hashlib.sha256((_source() + json.dumps(parameters)).encode()).hexdigest()


@cache
def _source() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(f.name.encode() + f.read_bytes() for f in files)).hexdigest()
