"""Deterministic loading: the batch of a step is a pure function of (dataset, seed, step).

So a run that is killed and resumed at any step sees the batches it would have seen. The number of worker processes,
what is kept on disk or in memory, and the number of ranks change the speed only.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mtlrepro import collective
from mtlrepro.data.draws import Draws, permutation
from mtlrepro.data.resident import BaseSamples, Key, Resident
from mtlrepro.data.sample import Batch, Dataset, Sample, View, as_targets, normaliser, stack
from mtlrepro.data.streams import Stream, training_streams
from mtlrepro.data.transforms.augment import AUGMENTATIONS, Augmentation, draw_changes, make_views
from mtlrepro.data.transforms.batched import BATCHED, fits_together, views_together
from mtlrepro.data.transforms.crop import Window
from mtlrepro.data.transforms.fit import FITS
from mtlrepro.data.transforms.geometry import GEOMETRY
from mtlrepro.data.workers import ahead
from mtlrepro.errors import DataError, SpecError
from mtlrepro.tasks import make_tasks

if TYPE_CHECKING:
    from mtlrepro.spec import DataSpec, RunSpec
    from mtlrepro.tasks.base import Task


class _Asked(NamedTuple):
    """A sample of a batch, and the numbers that its augmentation is drawn from."""

    stream: Stream
    key: Key
    draws: Draws


_Stacked = tuple[Tensor, dict[str, Tensor], tuple[Window, ...]]
"""A view of a batch: its images, its targets, and what of the first view it shows of each sample."""

JUDGED = {"semseg"}
"""Labels by which augmentations of native samples choose (`transforms.cut`), whether they are tasks or not."""


class TrainLoader:
    """Training batches from one or two streams of samples.

    Epoch e = step // steps_per_epoch visits the rows of the main stream in an order drawn from (seed, e). The second
    stream goes on from step to step, and starts again in another order when it is exhausted. A sample's
    augmentation is drawn from (seed, e, its index), in the second stream from (seed, pass over it, its index). A label
    that training may not see is erased before the sample is augmented.

    Samples before their augmentation stay in memory if they fit (`mtlrepro.data.resident`): on a GPU the batches are
    made there, from numbers drawn on the host, and nothing waits for the GPU, but for `scale_flip_distort`, which reads
    a sample's class ids back once to choose its cut. Augmentations with a batched form change a whole batch at once
    there (`mtlrepro.data.transforms.batched`). Workers then only read each sample once.
    On the host workers make whole batches, and samples stay in memory where there are no workers.

    Args:
        streams: the main stream, and the second one or None.
        tasks: name -> task; labels of other tasks are left out.
        size: network input (height, width).
        augment: key of `mtlrepro.data.transforms.augment.AUGMENTATIONS`, for streams that name no other.
        seed: the run's seed.
        workers: worker processes; 0 loads in this process.
        views: views of every sample.
        normalise: key of `mtlrepro.data.sample.NORMALISE`.
        drop_last: whether the last incomplete batch of an epoch is dropped.
        device: where batches are made of samples that fit into its memory; those of others are made on the host.
        cache: folder of decoded samples (`mtlrepro.data.cache`); None keeps none.
        rank: this process's number among those that share every batch.
        ranks: how many they are; each has every ranks-th sample of either stream.

    Raises:
        DataError: the main stream has fewer samples than a batch, or a sample cannot be read.
        SpecError: unknown augmentation or normalisation, or a batch that the ranks cannot share equally.
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
        device: torch.device | str = "cpu",
        cache: Path | None = None,
        rank: int = 0,
        ranks: int = 1,
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
        self.augmentations = [AUGMENTATIONS[stream.augment or augment] for stream in streams if stream]
        self.seed, self.workers = seed, workers
        for augmentation in self.augmentations:
            augmentation.check(views)
        self.views, self.drop_last = views, drop_last
        self.normalise, self.prepare = normalise, normaliser(normalise)
        self.rank, self.ranks = rank, ranks
        self._check_shares()
        self._order: tuple[int, list[int]] = (-1, [])
        self._extra_order: tuple[int, list[int]] = (-1, [])
        place = torch.device(device)
        sources = [
            (self._base_samples(stream.dataset, augmentation, cache), stream.rows)
            for stream, augmentation in zip(filter(None, streams), self.augmentations, strict=True)
        ]
        self._base = Resident(sources, place, enabled=place.type != "cpu" or not workers)
        self._erased: dict[str, Tensor] = {}
        # On the host single samples are faster at the papers' sizes, and recorded figures have their bits.
        self._together = (
            place.type != "cpu" and set(self.augmentations) <= BATCHED and len(set(self.augmentations)) == 1
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the main stream."""
        rows, batch = len(self.main.rows), self.main.batch
        return rows // batch if self.drop_last else -(-rows // batch)

    def indices_at(self, step: int) -> list[int]:
        """Dataset positions of the main stream's samples of a step, in this rank."""
        epoch, start = divmod(step, self.steps_per_epoch)
        rows, batch = self.main.rows, self.main.batch
        if self._order[0] != epoch:
            self._order = (epoch, [rows[i] for i in permutation(len(rows), "order", self.seed, epoch)])
        return self._order[1][start * batch : (start + 1) * batch][self.rank :: self.ranks]

    def extra_at(self, step: int) -> list[int]:
        """Dataset positions of the second stream's samples of a step, in this rank."""
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
        """The batch of a step, the main stream's samples first: on the device if samples are kept there.

        Raises:
            DataError: a sample cannot be read.
        """
        epoch, main, extra = step // self.steps_per_epoch, self.indices_at(step), self.extra_at(step)
        asked = [_Asked(self.main, (0, i), Draws("augment", self.seed, epoch, i)) for i in main]
        if self.extra:
            passes = [position // len(self.extra.rows) for position in self._extra_positions(step)]
            draws = [Draws("extra", self.seed, turn, i) for turn, i in zip(passes, extra, strict=True)]
            asked += [_Asked(self.extra, (1, i), drawn) for i, drawn in zip(extra, draws, strict=True)]
        masks = [[stream.labelled(index, task) for task in self.tasks] for stream, (_, index), _ in asked]
        samples = [self._base[one.key] for one in asked]
        if self._together and self._base.fits and fits_together(samples):
            (first, *others), whole = self._views_together(asked, samples), []
        else:
            views = [self._views(*pair) for pair in zip(asked, samples, strict=True)]
            first, *others = [
                (*stack([sample for sample, _ in view], self.tasks, self.prepare), tuple(window for _, window in view))
                for view in zip(*views, strict=True)
            ]
            whole = [sample for (sample, _), *_ in views]
        labelled = torch.tensor(masks, dtype=torch.bool).view(len(asked), len(self.tasks))
        return Batch(
            image=first[0],
            targets=first[1],
            labelled={task: labelled[:, i].clone() for i, task in enumerate(self.tasks)},
            index=torch.as_tensor([*main, *extra]),
            others=tuple(View(*other) for other in others),
            geometry=_geometry(whole),
            normalise=self.normalise,
            extra=len(extra),
            beside=_geometry(whole[len(main) :]),
        )

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """The batches of steps start_step, start_step + 1, … without end.

        Worker processes live as long as the iterator, or until all samples are in memory; closing or dropping it ends
        them.
        """
        if not self.workers:
            yield from map(self.batch_at, itertools.count(start_step))
        elif not self._base.fits:
            yield from ahead(self.batch_at, itertools.count(start_step), self.workers)
        else:
            yield from self._batches_on_device(start_step)

    @property
    def held_bytes(self) -> int:
        """What samples take of a GPU's memory once all of them are there."""
        return self._base.expected_bytes if self._base.device.type != "cpu" and self._base.fits else 0

    def release(self) -> None:
        """Free the memory that samples are kept in."""
        self._base.release()
        self._erased.clear()

    def _batches_on_device(self, step: int) -> Iterator[Batch]:
        """Batches of samples that workers read until all of them are in memory."""
        with contextlib.closing(ahead(self._base.fetch, self._first_uses(step), self.workers)) as read:
            while not self._base.complete:
                for key in self._keys_at(step):
                    while key not in self._base and (arrived := next(read, None)):
                        self._base.keep(*arrived)
                yield self.batch_at(step)
                step += 1
        yield from map(self.batch_at, itertools.count(step))

    def _base_samples(self, dataset: Dataset, augmentation: Augmentation, cache: Path | None) -> BaseSamples:
        if not augmentation.native:
            return BaseSamples(dataset, self.tasks, self.size, cache)
        judged = JUDGED & set(dataset.info.tasks)
        return BaseSamples(dataset, {**make_tasks(judged, dataset.info), **self.tasks}, None, cache)

    def _check_shares(self) -> None:
        last = len(self.main.rows) % self.main.batch
        shared = {
            "recipe.batch": self.main.batch,
            "recipe.extra": self.extra.batch if self.extra else 0,
            "recipe.drop_last": 0 if self.drop_last else last,
        }
        for field, samples in shared.items():
            if samples % self.ranks:
                problem = f"{samples} samples of a step cannot be dealt out to {self.ranks} processes equally"
                raise SpecError(problem, field=field, mend="Use a number of processes that divides it")

    def _extra_positions(self, step: int) -> range:
        """How many samples of the second stream were drawn before each one of a step."""
        batch = self.extra.batch if self.extra else 0
        return range(step * batch, (step + 1) * batch)[self.rank :: self.ranks]

    def _keys_at(self, step: int) -> list[Key]:
        return [*((0, i) for i in self.indices_at(step)), *((1, i) for i in self.extra_at(step))]

    def _first_uses(self, start_step: int) -> Iterator[Key]:
        """The samples that are not in memory, in the order in which they are needed first."""
        keys = itertools.chain.from_iterable(map(self._keys_at, itertools.count(start_step)))
        missing = self._base.missing()
        while missing:
            key = next(keys)
            if key in missing:
                missing.remove(key)
                yield key

    def _views(self, asked: _Asked, sample: Sample) -> list[tuple[Sample, Window]]:
        seen, (source, _) = self._seen(asked), asked.key
        hidden = {name: self._without_label(name, sample["image"]) for name in self.tasks if name not in seen}
        return make_views(
            {**sample, **hidden},
            self.augmentations[source],
            self.tasks,
            asked.draws,
            self.views,
            aligned=not seen,
            size=self.size,
        )

    def _views_together(self, asked: Sequence[_Asked], samples: Sequence[Sample]) -> list[_Stacked]:
        """What `_views` makes of each sample, stacked."""
        augmentation, seen = self.augmentations[0], [self._seen(one) for one in asked]
        absent = [name for name in self.tasks if any(name not in labels for labels in seen)]
        hidden = {name: self._without_label(name, samples[0]["image"]) for name in absent}
        changes = [
            draw_changes(augmentation, self.size, one.draws, self.views, aligned=not labels)
            for one, labels in zip(asked, seen, strict=True)
        ]
        shown = [
            {**sample, **{name: label for name, label in hidden.items() if name not in labels}}
            for sample, labels in zip(samples, seen, strict=True)
        ]
        views = views_together(shown, augmentation, self.tasks, changes)
        windows = [[Window.whole(self.size)] * len(asked)]
        windows += [[change.window for change in view] for view in list(zip(*changes, strict=True))[1:]]
        return [
            (
                self.prepare(view["image"]),
                {name: as_targets(task, view[name]) for name, task in self.tasks.items()},
                tuple(of_view),
            )
            for view, of_view in zip(views, windows, strict=True)
        ]

    def _seen(self, asked: _Asked) -> set[str]:
        """The tasks whose labels of a sample training may see."""
        return {task for task in self.tasks if asked.stream.labelled(asked.key[1], task)}

    def _without_label(self, task: str, image: Tensor) -> Tensor:
        """A label of an image's size without a valid pixel, on its device."""
        if task not in self._erased:
            self._erased[task] = self.tasks[task].unlabelled((1, 1)).to(image.device)
        pixel = self._erased[task]
        return pixel.expand(*pixel.shape[:-2], *image.shape[-2:]).contiguous()


def _geometry(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """What each of some samples says of its camera, together; nothing of no sample."""
    shared = [name for name in GEOMETRY if samples and all(name in sample for sample in samples)]
    return {name: torch.stack([sample[name] for sample in samples]) for name in shared}


def open_loader(
    spec: RunSpec,
    tasks: Mapping[str, Task],
    open_train: Callable[[DataSpec], Dataset],
    seed: int,
    workers: int = 0,
    views: int = 1,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
) -> TrainLoader:
    """The training batches that a spec describes; where processes share them, this one's share of each.

    Args:
        spec: its data and recipe are read.
        tasks: the tasks to load labels of.
        open_train: opens the training split of a data spec.
        seed: the run's seed.
        workers: worker processes.
        views: views of every sample.
        device: see `TrainLoader`, as for the following.
        cache: folder of decoded samples.
    """
    data, recipe = spec.data, spec.recipe
    return TrainLoader(
        training_streams(data, recipe, open_train),
        tasks,
        data.size,
        data.augment,
        seed,
        workers,
        views,
        data.normalise,
        recipe.drop_last,
        device,
        cache,
        collective.rank(),
        collective.ranks(),
    )


def eval_samples(
    dataset: Dataset,
    size: tuple[int, int],
    fit: str = "resize",
    workers: int = 0,
    positions: Sequence[int] | None = None,
) -> Iterator[tuple[Tensor, Sample]]:
    """(image as the network gets it before it is normalised, labels at native size) of every sample, in order.

    Predictions are fitted to the labels, never the other way round: what is measured must not depend on the
    network's input size.

    Args:
        dataset: a split.
        size: network input (height, width).
        fit: how images get that size, a key of `mtlrepro.data.transforms.fit.FITS`.
        workers: processes that read ahead; 0 reads in this one. They live as long as the iterator.
        positions: the samples' places in the split, ascending; None for all.

    Raises:
        DataError: a sample cannot be read, or does not fit.
    """
    read = partial(_eval_sample, dataset, size, fit)
    places = range(len(dataset)) if positions is None else positions
    return ahead(read, places, workers) if workers else map(read, places)


def _eval_sample(dataset: Dataset, size: tuple[int, int], fit: str, index: int) -> tuple[Tensor, Sample]:
    sample = dataset[index]
    image = FITS[fit].image(sample["image"], size)
    return image, {name: label for name, label in sample.items() if name != "image"}
