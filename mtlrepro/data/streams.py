"""The streams of samples that training batches draw from: labelled ones, and a second stream beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtlrepro.data.disk.prepare.record import check_rows
from mtlrepro.data.partial import LabelMask, label_mask, published_file
from mtlrepro.data.published_masks import check_published
from mtlrepro.data.sample import Dataset
from mtlrepro.errors import SpecError, unknown
from mtlrepro.spec import DataSpec

if TYPE_CHECKING:
    from mtlrepro.spec import Recipe

UNLABELLED = "unlabelled"
"""`ExtraData.name` of a second stream that consists of what the label setting leaves without any label."""


@dataclass(frozen=True)
class Stream:
    """Samples of one dataset, and which of their labels training may see.

    Attributes:
        dataset: one split.
        rows: positions of its samples in the dataset.
        labelled: may a sample's label of a task be seen? (position, task) -> bool.
        batch: samples a step.
        augment: key of its own training augmentation, "" for that of the loader.
    """

    dataset: Dataset
    rows: Sequence[int]
    labelled: Callable[[int, str], bool]
    batch: int
    augment: str = ""


def source(data: DataSpec) -> DataSpec:
    """The part of a data spec that decides on a split's samples: specs that agree in it share one open dataset."""
    return DataSpec(data.name, data.size, train=data.train, val=data.val, options=data.options)


def val_source(data: DataSpec) -> DataSpec:
    """The same for the samples that are evaluated on, which may be another dataset's."""
    if not data.val_name:
        return source(data)
    return DataSpec(data.val_name, data.size, train=data.train, val=data.val, options=data.val_options)


def extra_source(data: DataSpec) -> DataSpec | None:
    """The samples of the second stream where it is a dataset of its own."""
    extra = data.extra
    if extra.name in ("", UNLABELLED):
        return None
    return DataSpec(extra.name, data.size, train=extra.train, options=extra.options)


def drawn_rows(count: int, percent: int, seed: int) -> list[int]:
    """Positions of the `percent` of a split's samples that are used, in order: the first of a random permutation.

    So a smaller share is part of a larger one.

    Raises:
        SpecError: a share that is not a whole number of 1 to 100 percent.

    Example:
        >>> [len(drawn_rows(795, percent, 0)) for percent in (100, 50, 25)], drawn_rows(8, 50, 0)
        ([795, 397, 198], [1, 2, 6, 7])
    """
    if not isinstance(percent, int) or isinstance(percent, bool) or not 1 <= percent <= 100:
        mend = "Give a whole number from 1 to 100"
        raise SpecError(f"{percent!r} % of the samples", field="data.percent", mend=mend)
    order = np.random.RandomState(seed).permutation(count)
    return sorted(order[: count * percent // 100].tolist())


def mask_of(data: DataSpec, train_set: Dataset) -> LabelMask | None:
    """Which labels of the training split are hidden; None if all may be seen.

    A whole dataset on disk may come with the published file of a setting, `labels/<setting>.pth` in its folder.

    Raises:
        SpecError: unknown setting, or one over no tasks.
        DataError: the file is not what it is called, or its rows are not those of the arrays.
    """
    if data.labels == "full" and not data.unlabelled:
        return None
    if not data.labels_over:
        mend = "Name the tasks among which labels are dealt out"
        raise SpecError(f"setting {data.labels!r} over no tasks", field="data.labels_over", mend=mend)
    for task in data.labels_over:
        if task not in train_set.info.tasks:
            raise unknown("task", task, train_set.info.tasks, field="data.labels_over")
    folder = getattr(train_set, "root", None) if data.train is None else None
    file = published_file(Path(folder), data.labels) if folder else None
    if folder and file:
        check_rows(Path(folder), file)
    mask = label_mask(data.labels, data.labels_over, len(train_set), unlabelled=data.unlabelled, published=file)
    if file:
        check_published(mask, data.name, data.labels)
    return mask


def training_streams(
    data: DataSpec, recipe: Recipe, open_train: Callable[[DataSpec], Dataset]
) -> tuple[Stream, Stream | None]:
    """The labelled stream and the second one, if the spec asks for one.

    Unlabelled samples that are set apart and of which a step takes none are left out of the training.

    Args:
        data: which samples, labelled how.
        recipe: samples a step from either.
        open_train: opens the training split of a `source`.

    Raises:
        SpecError: a second stream without samples a step, or samples a step without one, an unknown setting, or a task
            that the second dataset does not have.
        DataError: the data are not as described.
    """
    other = extra_source(data)
    if (recipe.extra and not data.extra.name) or (other and not recipe.extra):
        text = f"{recipe.extra} samples a step from the second stream {data.extra.name!r}"
        raise SpecError(text, field="recipe.extra", mend="Give both data.extra and recipe.extra, or neither")
    train_set = open_train(source(data))
    mask = mask_of(data, train_set)
    seen = mask.labelled if mask else _everything
    rows = mask.rows(True) if mask else range(len(train_set))
    beside = data.extra.name == UNLABELLED
    used = set(drawn_rows(len(train_set), data.percent, data.percent_seed))
    chosen = [i for i in (rows if beside else range(len(train_set))) if i in used]
    main = Stream(train_set, chosen, seen, recipe.batch)
    if other is not None:
        second = open_train(other)
        for task in data.extra.tasks:
            if task not in second.info.tasks:
                raise unknown(f"task of dataset {other.name}:", task, second.info.tasks, field="data.extra.tasks")
        seen_there = partial(_is_one_of, data.extra.tasks)
        return main, Stream(second, range(len(second)), seen_there, recipe.extra, data.extra.augment)
    if beside and recipe.extra:
        left = [i for i in mask.rows(False) if i in used] if mask else []
        if not left:
            mend = "Give data.unlabelled a percentage, and data.percent one that is not too small"
            raise SpecError("the label setting leaves no sample unlabelled", field="data.extra", mend=mend)
        return main, Stream(train_set, left, seen, recipe.extra, data.extra.augment)
    return main, None


def _everything(index: int, task: str) -> bool:
    return True


def _is_one_of(tasks: Sequence[str], index: int, task: str) -> bool:
    return task in tasks
