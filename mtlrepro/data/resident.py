"""Samples before their augmentation, and the memory they stay in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mtlrepro.data.cache import SampleFiles, nbytes, open_files
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.sample import Dataset, Sample
from mtlrepro.data.transforms.basic import resize_sample
from mtlrepro.tasks import make_tasks

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

CACHE_BYTES = 2 * 1024**3
"""Base samples of all streams stay in the host's memory up to so many bytes."""

DEVICE_SHARE = 0.25
"""And in a GPU's up to this share of it. Of all of it: what is free changes, and with it a run's numbers might."""


class BaseSamples:
    """A dataset whose samples are resized, and kept on disk where the dataset lies on disk.

    Args:
        dataset: one split.
        tasks: name -> task; labels of other tasks are left out, as are those that the dataset does not have.
        size: (height, width) of the samples; None leaves them as the dataset gives them.
        cache: folder of decoded samples; None keeps none. A split too large for the disk is not kept either (see
            `mtlrepro.data.cache.SHARE`).

    Raises:
        DataError: the first sample cannot be read.
    """

    def __init__(
        self, dataset: Dataset, tasks: Mapping[str, Task], size: tuple[int, int] | None, cache: Path | None = None
    ):
        self.dataset, self.info, self.size = dataset, dataset.info, size
        self.tasks = {name: task for name, task in tasks.items() if name in self.info.tasks}
        self._files: SampleFiles | None = None
        self._stored = self.tasks
        if cache is not None and isinstance(dataset, Folder):
            everything = make_tasks(self.info.tasks, self.info)
            form = [size, sorted((name, task.resampling) for name, task in everything.items())]
            self._files = open_files(cache, dataset, form, nbytes(self._made(0, everything)))
            if self._files:
                self._stored = everything  # so that runs on other tasks share the files
        self._left_out = self._stored.keys() - self.tasks.keys()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Image, labels and geometry of a sample; the tensors may be shared, do not write to them.

        Raises:
            DataError: see the dataset.
        """
        sample = self._files.read(index, self._left_out) if self._files else None
        if sample is not None:
            return sample
        sample = self._made(index, self._stored)
        if self._files:
            self._files.write(index, sample)
        return {name: value for name, value in sample.items() if name not in self._left_out}

    def digest(self) -> str:
        """The dataset's."""
        return self.dataset.digest()

    def _made(self, index: int, tasks: Mapping[str, Task]) -> Sample:
        sample = self.dataset[index]
        height, width = sample["image"].shape[-2:]
        return resize_sample(sample, self.size or (height, width), tasks)


Key = tuple[int, int]
"""(number of the source, position in its dataset)."""


class Resident:
    """Base samples of the streams of a run in the memory of one device.

    On the host they stay as long as there is room (`CACHE_BYTES`). A GPU takes all of them or none (`DEVICE_SHARE`):
    batches made on it may differ from the host's in a last digit, so a run must not begin on one and resume on the
    other.

    Args:
        sources: the samples of each stream, and which of them it uses.
        device: where they stay.
        enabled: False keeps nothing.
    """

    def __init__(
        self, sources: Sequence[tuple[BaseSamples, Sequence[int]]], device: torch.device, enabled: bool = True
    ):
        self.sources, self.device, self._enabled = [source for source, _ in sources], device, enabled
        self._rows = [rows for _, rows in sources]
        self._kept: dict[Key, Sample] = {}
        self._bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_bytes": 0}  # samples stay out of worker processes

    def __getitem__(self, key: Key) -> Sample:
        """A base sample: on the device if they are kept there, else on the host."""
        if key in self._kept:
            return self._kept[key]
        _, sample = self.fetch(key)
        if not self.fits or (self.device.type == "cpu" and self._bytes + nbytes(sample) > CACHE_BYTES):
            return sample
        self.keep(key, sample)
        return self._kept[key]

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    @cached_property
    def fits(self) -> bool:
        """Whether samples are kept."""
        if not self._enabled or self.device.type == "cpu":
            return self._enabled
        return self.expected_bytes <= DEVICE_SHARE * torch.cuda.get_device_properties(self.device).total_memory

    @cached_property
    def expected_bytes(self) -> int:
        """What all samples take, where each stream's are as large as its first."""
        return sum(nbytes(source[rows[0]]) * len(rows) for source, rows in zip(self.sources, self._rows, strict=True))

    def fetch(self, key: Key) -> tuple[Key, Sample]:
        """A base sample on the host, for `keep`."""
        return key, self.sources[key[0]][key[1]]

    @property
    def complete(self) -> bool:
        """Whether every sample is there."""
        return len(self._kept) == sum(map(len, self._rows))

    def missing(self) -> set[Key]:
        """The samples that are not there yet."""
        return {(number, row) for number, rows in enumerate(self._rows) for row in rows} - self._kept.keys()

    def keep(self, key: Key, sample: Sample) -> None:
        """Take a base sample from the host to the device.

        Raises:
            DataError: a label is wrong; it is checked here, once (see `mtlrepro.data.sample.stack`).
        """
        if self.device.type != "cpu":
            for name, task in self.sources[key[0]].tasks.items():
                task.collate(sample[name])
        self._kept[key] = {name: value.to(self.device) for name, value in sample.items()}
        self._bytes += nbytes(sample)

    def release(self) -> None:
        """Free the memory; samples are read again when they are asked for."""
        self._kept.clear()
        self._bytes = 0
