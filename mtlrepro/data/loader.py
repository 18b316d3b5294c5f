"""Deterministic loading: the batch of a step is a pure function of (dataset, seed, step).

So a run that is killed and resumed at any step sees the batches it would have seen, and the number of worker
processes changes the speed only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from mtlrepro.data.augment import AUGMENTATIONS, make_views
from mtlrepro.data.draws import Draws, permutation
from mtlrepro.data.sample import Batch, Dataset, Sample, View, normaliser, stack
from mtlrepro.data.streams import Stream, training_streams
from mtlrepro.data.transforms import resize_image, resize_sample
from mtlrepro.errors import DataError, ReproError

if TYPE_CHECKING:
    from mtlrepro.data.crop import Window
    from mtlrepro.spec import DataSpec, RunSpec
    from mtlrepro.tasks.base import Task

CACHE_BYTES = 2 * 1024**3
"""A split whose resized samples fit into 2 GiB stays in memory when no worker processes are used."""


class TrainLoader:
    """Training batches from one or two streams of samples.

    Epoch e = step // steps_per_epoch visits the rows of the main stream in an order drawn from (seed, e). The second
    stream goes on from step to step, and starts again in another order when it is exhausted. A sample's
    augmentation is drawn from (seed, e, its index), in the second stream from (seed, pass over it, its index). A label
    that training may not see is erased before the sample is augmented.

    Args:
        streams: the main stream, and the second one or None.
        tasks: name -> task; labels of other tasks are left out.
        size: network input (height, width).
        augment: key of `mtlrepro.data.augment.AUGMENTATIONS`.
        seed: the run's seed.
        workers: worker processes; 0 loads in this process and keeps resized samples in memory if they fit.
        views: views of every sample.
        normalise: key of `mtlrepro.data.sample.NORMALISE`.
        drop_last: whether the last incomplete batch of an epoch is dropped.

    Raises:
        DataError: the main stream has fewer samples than a batch.
        SpecError: unknown augmentation or normalisation.
    """

    def __init__(
        self,
        streams: tuple[Stream, Stream | None],
        tasks: Mapping[str, Task],
        size: tuple[int, int],
        augment: str,
        seed: int,
        workers: int = 0,
        views: int = 1,
        normalise: str = "imagenet",
        drop_last: bool = True,
    ):
        self.main, self.extra = streams
        if len(self.main.rows) < self.main.batch:
            raise DataError(
                f"the split has {len(self.main.rows)} samples, fewer than a batch of {self.main.batch}",
                file=f"dataset {self.main.dataset.info.name}",
                field="train",
                mend="Lower the recipe's batch or use more samples",
            )
        self.tasks, self.size = dict(tasks), (int(size[0]), int(size[1]))
        self.augmentation, self.seed, self.workers = AUGMENTATIONS[augment], seed, workers
        self.augmentation.check(views)
        self.views, self.prepare, self.drop_last = views, normaliser(normalise), drop_last
        self._order: tuple[int, list[int]] = (-1, [])
        self._extra_order: tuple[int, list[int]] = (-1, [])
        self._kept: dict[tuple[bool, int], Sample] | None = None if workers else {}

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the main stream."""
        rows, batch = len(self.main.rows), self.main.batch
        return rows // batch if self.drop_last else -(-rows // batch)

    def indices_at(self, step: int) -> list[int]:
        """Dataset positions of the main stream's samples of a step."""
        epoch, start = divmod(step, self.steps_per_epoch)
        rows, batch = self.main.rows, self.main.batch
        if self._order[0] != epoch:
            self._order = (epoch, [rows[i] for i in permutation(len(rows), "order", self.seed, epoch)])
        return self._order[1][start * batch : (start + 1) * batch]

    def extra_at(self, step: int) -> list[int]:
        """Dataset positions of the second stream's samples of a step."""
        if self.extra is None:
            return []
        rows, found = self.extra.rows, []
        for position in self._extra_positions(step):
            turn, place = divmod(position, len(rows))
            if self._extra_order[0] != turn:
                order = permutation(len(rows), "extra order", self.seed, turn)
                self._extra_order = (turn, [rows[i] for i in order])
            found.append(self._extra_order[1][place])
        return found

    def batch_at(self, step: int) -> Batch:
        """The batch of a step, on the CPU: the main stream's samples first.

        Raises:
            DataError: a sample cannot be read.
        """
        epoch, main, extra = step // self.steps_per_epoch, self.indices_at(step), self.extra_at(step)
        views = [self._views(self.main, i, Draws("augment", self.seed, epoch, i)) for i in main]
        masks = [[self.main.labelled(i, task) for task in self.tasks] for i in main]
        if self.extra:
            passes = [position // len(self.extra.rows) for position in self._extra_positions(step)]
            draws = [Draws("extra", self.seed, turn, i) for turn, i in zip(passes, extra, strict=True)]
            views += [self._views(self.extra, i, drawn) for i, drawn in zip(extra, draws, strict=True)]
            masks += [[self.extra.labelled(i, task) for task in self.tasks] for i in extra]
        first, *others = [
            (*stack([sample for sample, _ in view], self.tasks, self.prepare), tuple(window for _, window in view))
            for view in zip(*views, strict=True)
        ]
        labelled = torch.tensor(masks, dtype=torch.bool).view(len(views), len(self.tasks))
        return Batch(
            image=first[0],
            targets=first[1],
            labelled={task: labelled[:, i].clone() for i, task in enumerate(self.tasks)},
            index=torch.as_tensor([*main, *extra]),
            others=tuple(View(*other) for other in others),
        )

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

    def _extra_positions(self, step: int) -> range:
        """How many samples of the second stream were drawn before each one of a step."""
        batch = self.extra.batch if self.extra else 0
        return range(step * batch, (step + 1) * batch)

    def _views(self, stream: Stream, index: int, draws: Draws) -> list[tuple[Sample, Window]]:
        sample = self._base(stream, index)
        seen = {task for task in self.tasks if stream.labelled(index, task)}
        hidden = {name: task.unlabelled(self.size) for name, task in self.tasks.items() if name not in seen}
        return make_views({**sample, **hidden}, self.augmentation, self.tasks, draws, self.views, aligned=not seen)

    def _base(self, stream: Stream, index: int) -> Sample:
        """The resized sample before augmentation, with the labels that the dataset has."""
        key = (stream is self.main, index)
        if self._kept is not None and key in self._kept:
            return self._kept[key]
        tasks = {name: task for name, task in self.tasks.items() if name in stream.dataset.info.tasks}
        sample = resize_sample(stream.dataset[index], self.size, tasks)
        if self._kept is not None:
            samples = len(self.main.rows) + (len(self.extra.rows) if self.extra else 0)
            if sum(t.numel() * t.element_size() for t in sample.values()) * samples > CACHE_BYTES:
                self._kept = None
            else:
                self._kept[key] = sample
        return sample


def open_loader(
    spec: RunSpec,
    tasks: Mapping[str, Task],
    open_train: Callable[[DataSpec], Dataset],
    seed: int,
    workers: int = 0,
    views: int = 1,
) -> TrainLoader:
    """The training batches that a spec describes.

    Args:
        spec: its data and recipe are read.
        tasks: the tasks to load labels of.
        open_train: opens the training split of a data spec.
        seed: the run's seed.
        workers: worker processes.
        views: views of every sample.
    """
    data, recipe = spec.data, spec.recipe
    streams = training_streams(data, recipe, open_train)
    return TrainLoader(streams, tasks, data.size, data.augment, seed, workers, views, data.normalise, recipe.drop_last)


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
