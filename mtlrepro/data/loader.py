"""Deterministic loading: the batch of a step is a pure function of (dataset, seed, step).

So a run that is killed and resumed at any step sees the batches it would have seen, and the number of worker
processes changes the speed only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from mtlrepro.data.draws import Draws, permutation
from mtlrepro.data.sample import Batch, Dataset, Sample, collate
from mtlrepro.data.transforms import AUGMENTATIONS, resize_image, resize_sample
from mtlrepro.errors import DataError, ReproError

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

CACHE_BYTES = 2 * 1024**3
"""A split whose resized samples fit into 2 GiB stays in memory when no worker processes are used."""


class TrainLoader:
    """Training batches of one dataset.

    Epoch e = step // steps_per_epoch visits the samples in an order drawn from (seed, e); the last incomplete
    batch of an epoch is dropped. A sample's augmentation is drawn from (seed, e, its index).

    Args:
        dataset: one split.
        tasks: name -> task; labels of other tasks are left out.
        size: network input (height, width).
        augment: key of `mtlrepro.data.transforms.AUGMENTATIONS`.
        batch: samples a step.
        seed: the run's seed.
        workers: worker processes; 0 loads in this process and keeps resized samples in memory if they fit.

    Raises:
        DataError: the split has fewer samples than a batch.
        SpecError: unknown augmentation.
    """

    def __init__(
        self,
        dataset: Dataset,
        tasks: Mapping[str, Task],
        size: tuple[int, int],
        augment: str,
        batch: int,
        seed: int,
        workers: int = 0,
    ):
        if len(dataset) < batch:
            raise DataError(
                f"the split has {len(dataset)} samples, fewer than a batch of {batch}",
                file=f"dataset {dataset.info.name}",
                field="train",
                mend="Lower the recipe's batch or use more samples",
            )
        self.dataset, self.tasks, self.size = dataset, dict(tasks), (int(size[0]), int(size[1]))
        self.augment, self.batch, self.seed, self.workers = AUGMENTATIONS[augment], batch, seed, workers
        self._order: tuple[int, list[int]] = (-1, [])
        self._kept: dict[int, Sample] | None = None if workers else {}

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the split."""
        return len(self.dataset) // self.batch

    def indices_at(self, step: int) -> list[int]:
        """Dataset positions of the batch of a step."""
        epoch, start = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, permutation(len(self.dataset), "order", self.seed, epoch))
        return self._order[1][start * self.batch : (start + 1) * self.batch]

    def batch_at(self, step: int) -> Batch:
        """The batch of a step, on the CPU.

        Raises:
            DataError: a sample cannot be read.
        """
        epoch = step // self.steps_per_epoch
        indices = self.indices_at(step)
        samples = [
            self.augment(self._base(index), self.tasks, Draws("augment", self.seed, epoch, index)) for index in indices
        ]
        return collate(samples, self.tasks, indices)

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """The batches of steps start_step, start_step + 1, … without end.

        Worker processes live as long as the iterator; closing or dropping it ends them.
        """
        if not self.workers:
            yield from map(self.batch_at, itertools.count(start_step))
            return
        loader = DataLoader(
            _Steps(self),
            sampler=_Count(start_step),
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=2,
            generator=torch.Generator(),  # else the loader would draw from the generator that training uses
        )
        for item in loader:
            if isinstance(item, ReproError):
                raise item
            yield item

    def _base(self, index: int) -> Sample:
        """The resized sample before augmentation."""
        if self._kept is None:
            return resize_sample(self.dataset[index], self.size, self.tasks)
        if index not in self._kept:
            sample = resize_sample(self.dataset[index], self.size, self.tasks)
            if sum(t.numel() * t.element_size() for t in sample.values()) * len(self.dataset) > CACHE_BYTES:
                self._kept = None
                return sample
            self._kept[index] = sample
        return self._kept[index]


class _Steps(torch.utils.data.Dataset):
    """Steps as the items of a map dataset, so that one worker makes one whole batch."""

    def __init__(self, loader: TrainLoader):
        self.loader = loader

    def __getitem__(self, step: int) -> Batch | ReproError:
        try:
            return self.loader.batch_at(step)
        except ReproError as error:  # returned, not raised: the worker would bury its text in a traceback
            return error


class _Count(Sampler[int]):
    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start)


def eval_samples(dataset: Dataset, size: tuple[int, int]) -> Iterator[tuple[Tensor, Sample]]:
    """(image (3, *size) uint8, labels at native size) of every sample, in order.

    Predictions are resized to the labels, never the other way round: what is measured must not depend on the
    network's input size.
    """
    for index in range(len(dataset)):
        sample = dataset[index]
        yield resize_image(sample["image"], size), {name: label for name, label in sample.items() if name != "image"}
