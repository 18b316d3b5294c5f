"""Partial labels: which image of a training set carries a label for which task (JTR, CVPR 2024, sec. 4.1 and 4.4).

A mask is read from a file in the format of the public reference implementation, or generated. A generated one is a
function of setting, tasks and number of images alone: the same on every machine, with every version of torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtlrepro.data.draws import Draws, permutation
from mtlrepro.errors import DataError, SpecError, unknown

SEED = 0
"""Seed of every generated mask: runs that differ in their seed learn from the same labels, as with a published one."""

KEY = "labels_weights"
"""The only key of a mask file."""

GENERATED = "generated"
"""`LabelMask.source` of a mask that was not read from a file."""

INSTEAD = "remove it to use a generated mask"

Pattern = tuple[bool, ...]
Groups = Sequence[Sequence[Pattern]]


def evenly(groups: Groups, length: int, key: str) -> list[Pattern]:
    """Every pattern for as many images as any other, in random order; the last patterns get those that are left."""
    patterns = list(chain.from_iterable(groups))
    return [patterns[-1 - place % len(patterns)] for place in permutation(length, "labels", key, SEED)]


def freely(groups: Groups, length: int, key: str) -> list[Pattern]:
    """For every image by itself: first a group, all equally likely, then one of its patterns."""
    draws = Draws("labels", key, SEED)
    return [draws.choice(draws.choice(groups)) for _ in range(length)]


class Setting(NamedTuple):
    """A rule of partial labels.

    Attributes:
        sizes: number of tasks -> how many labels an image may carry.
        deal: (patterns grouped by size, images, key) -> the pattern of each image.
    """

    sizes: Callable[[int], Sequence[int]]
    deal: Callable[[Groups, int, str], list[Pattern]]


SETTINGS: Mapping[str, Setting] = {
    "full": Setting(lambda tasks: (tasks,), evenly),
    "onelabel": Setting(lambda tasks: (1,), evenly),
    "randomlabels": Setting(lambda tasks: range(1, tasks), freely),
    "halflabels": Setting(lambda tasks: (tasks // 2, tasks - tasks // 2), freely),
}
"""The settings by name: all labels; one per image, balanced over the tasks; 1 to K - 1, number and subset uniform;
half of the tasks, rounded down or up with equal chance, subset uniform."""


@dataclass(frozen=True)
class LabelMask:
    """Which of N images has a label for which of K tasks. Equal are masks that say the same, whatever their source.

    Attributes:
        tasks: the tasks of the columns, in order.
        table: N rows of K.
        source: "generated", or the file the mask was read from.
        origin: the mask this one was made from by `without`, if it was.

    Example:
        >>> mask = label_mask("onelabel", ("semseg", "depth"), 5)
        >>> mask.codes(), mask.labelled(0, "semseg"), mask.labelled(0, "depth")
        ('22121', False, True)
        >>> mask.without(40).codes(), mask.without(40).rows(any_label=False)
        ('02021', [0, 2])
    """

    tasks: tuple[str, ...]
    table: tuple[Pattern, ...] = field(repr=False)
    source: str = field(default=GENERATED, compare=False)
    origin: LabelMask | None = field(default=None, compare=False, repr=False)

    def labelled(self, index: int, task: str) -> bool:
        """Whether image `index` has a label for `task`; of a task that is no column, every image has."""
        return task not in self.tasks or self.table[index][self.tasks.index(task)]

    def rows(self, any_label: bool) -> list[int]:
        """The images with at least one label, or those with none, in order."""
        return [index for index, row in enumerate(self.table) if any(row) == any_label]

    def codes(self) -> str:
        """Per image the sum of 2^k over its labelled columns k, in hexadecimal, one digit for every four tasks."""
        width = -(-len(self.tasks) // 4)
        digits = {row: f"{sum(1 << k for k, has in enumerate(row) if has):0{width}x}" for row in set(self.table)}
        return "".join(digits[row] for row in self.table)

    def digest(self) -> str:
        """Hex SHA-256 of the columns' names and the codes, whatever the mask's source."""
        return hashlib.sha256(f"{','.join(self.tasks)}\n{self.codes()}".encode()).hexdigest()

    def without(self, percent: int) -> LabelMask:
        """The mask with `percent` of its images, rounded down, stripped of all labels; the others keep theirs.

        The images of a smaller share are among those of a larger one, and the same for every setting.

        Raises:
            SpecError: unless `percent` is one of 0 to 99.
        """
        if percent not in range(100):
            raise SpecError(f"{percent!r} is no share of unlabelled images", mend="Give whole percent, 0 to 99")
        table = list(self.table)
        for index in permutation(len(table), "unlabelled", SEED)[: len(table) * int(percent) // 100]:
            table[index] = (False,) * len(self.tasks)
        return LabelMask(self.tasks, tuple(table), self.source, self.origin or self)


def label_mask(
    setting: str, tasks: Sequence[str], length: int, *, unlabelled: int = 0, published: Path | None = None
) -> LabelMask:
    """The mask of a setting, read from `published` or generated for `length` images.

    Args:
        setting: a key of `SETTINGS`.
        tasks: all tasks of the dataset, in the order of a file's columns; a run that learns some of them, or in
            another order, still has the same images labelled.
        length: number of images; the first n images of a dataset get a mask of their own, balanced over these.
        unlabelled: percent of the images that lose all their labels, 0 to 99 (see `LabelMask.without`).
        published: a mask file, as `published_file` finds it.

    Raises:
        SpecError: on an unknown setting, one that needs more tasks, or a share out of range.
        DataError: if the file cannot be read, holds something else, or does not fit tasks, length or setting.
    """
    if setting not in SETTINGS:
        raise unknown("label setting", setting, SETTINGS)
    sizes = SETTINGS[setting].sizes(len(tasks))
    if not sizes or not 1 <= min(sizes) <= max(sizes) <= len(tasks):
        raise SpecError(
            f"label setting {setting!r} does not fit {len(tasks)} task(s)", mend="Use more tasks, or 'full'"
        )
    if published is not None:
        mask = LabelMask(tuple(tasks), _read(published, setting, tasks, sizes, length), str(published))
    else:
        columns = range(len(tasks))
        groups = [[tuple(k in subset for k in columns) for subset in combinations(columns, n)] for n in sizes]
        mask = LabelMask(tuple(tasks), tuple(SETTINGS[setting].deal(groups, length, setting)))
    return mask.without(unlabelled) if unlabelled else mask


def published_file(folder: Path, setting: str) -> Path | None:
    """`<folder>/labels/<setting>.pth`, where a user puts the mask file of a dataset; None if there is none."""
    file = folder / "labels" / f"{setting}.pth"
    return file if file.is_file() else None


def _read(file: Path, setting: str, tasks: Sequence[str], sizes: Sequence[int], length: int) -> tuple[Pattern, ...]:
    mend = f"Get the mask file again, or {INSTEAD}"
    try:  # tensors and plain containers only: nothing that a file says is executed
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever way its last sound instruction makes it fail
        raise DataError(f"cannot be read as a mask ({type(error).__name__})", file=file, mend=mend) from error
    if not isinstance(content, dict) or list(content) != [KEY]:
        held = f"the keys {[*content]}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise DataError(f"holds {held}, expected the single key {KEY!r}", file=file, mend=mend)
    weights = content[KEY]
    if not isinstance(weights, Tensor) or weights.dtype != torch.float32 or weights.ndim != 2:
        form = f"{weights.dtype} of {weights.ndim} axes" if isinstance(weights, Tensor) else type(weights).__name__
        raise DataError(f"is {form}, expected float32 (images, tasks)", file=file, field=KEY, mend=mend)
    if weights.shape[1] != len(tasks):
        problem = f"{weights.shape[1]} columns, expected {len(tasks)} ({', '.join(tasks)})"
        raise DataError(problem, file=file, field=KEY, mend=mend)
    if len(weights) != length:
        fit = f"Use the mask made for these {length} images, or {INSTEAD}"
        raise DataError(f"{len(weights)} rows, but there are {length} images", file=file, field=KEY, mend=fit)
    if not ((weights == 0) | (weights == 1)).all():
        raise DataError("holds values other than 0 and 1", file=file, field=KEY, mend=mend)
    table = tuple(tuple(row) for row in weights.bool().tolist())
    for index, row in enumerate(table):
        if sum(row) not in sizes:
            problem = f"row {index} has {sum(row)} labels, {setting!r} allows {sorted(set(sizes))}"
            raise DataError(problem, file=file, field=KEY, mend=mend)
    return table
