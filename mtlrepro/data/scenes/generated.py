"""What all generated datasets share: splits, limits, the cache of rendered samples, the digest."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.errors import SpecError, unknown

FIRST_INDEX = {"train": 0, "val": 1_000_000}
"""Scene number of a split's first sample: the splits never share a scene."""

CACHE_BYTES = 2 * 2**30
"""Rendered samples are kept in memory up to so many bytes a split; further ones are rendered again when asked for."""


class Generated(ABC):
    """A split of scenes that are drawn when asked for; sample i is the same whatever the length.

    Attributes:
        SOURCES: patterns of the files (beside this one) that decide what is drawn.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("*.py",)
    info: DatasetInfo

    def __init__(self, split: str, size: tuple[int, int], length: int, seed: int):
        if split not in FIRST_INDEX:
            raise unknown("split", split, FIRST_INDEX)
        if length < 1 or min(size) < 1:
            raise SpecError(
                f"{length} scenes of size {size}", field="scenes", mend="Give a length and a size of at least 1"
            )
        self.split, self.size, self.length, self.seed = split, (size[0], size[1]), length, seed
        self._cache: dict[int, Sample] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        """The sample's tensors, as the dataset's `draw` documents; they are shared, do not write to them."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        if index in self._cache:
            return self._cache[index]
        sample = self.draw(FIRST_INDEX[self.split] + index)
        size = sum(t.numel() * t.element_size() for t in sample.values())
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = sample
            self._cached_bytes += size
        return sample

    @abstractmethod
    def draw(self, number: int) -> Sample:
        """The sample of a scene number."""

    def parameters(self) -> list[Any]:
        """What tells this split from others of the same source."""
        return [self.info.name, self.split, self.size, self.length, self.seed]

    def digest(self) -> str:
        """Hex digest of the generator's source and the split's parameters."""
        return hashlib.sha256((_source(self.SOURCES) + json.dumps(self.parameters())).encode()).hexdigest()


@cache
def _source(patterns: tuple[str, ...]) -> str:
    folder = Path(__file__).parent
    files = sorted(f for pattern in patterns for f in folder.glob(pattern))
    return hashlib.sha256(
        b"".join(f.relative_to(folder).as_posix().encode() + f.read_bytes() for f in files)
    ).hexdigest()
