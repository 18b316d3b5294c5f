"""Work done ahead of time in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mtlrepro.errors import ReproError

T = TypeVar("T")


def ahead(make: Callable[[Any], T], items: Iterable[Any], workers: int) -> Generator[T, None, None]:
    """make(item) of each item, in their order, two items a worker ahead.

    The processes live as long as the iterator; closing or dropping it ends them.

    Args:
        make: runs in the workers.
        items: may be without end.
        workers: number of processes.

    Raises:
        ReproError: what `make` raised.
    """
    loader = DataLoader(
        _Made(make),
        sampler=_Items(items),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=2,
        generator=torch.Generator(),  # else the loader would draw from the generator that training uses
    )
    for made in loader:
        if isinstance(made, ReproError):
            raise made
        yield made


def _as_it_is(made: Any) -> Any:
    return made  # by default tuples would become lists


class _Made(Dataset[Any]):
    """Items as those of a map dataset, so that one worker makes one whole item."""

    def __init__(self, make: Callable[[Any], Any]):
        self.make = make

    def __getitem__(self, item: Any) -> Any:
        try:
            return self.make(item)
        except ReproError as error:  # returned, not raised: the worker would bury its text in a traceback
            return error


class _Items(Sampler[Any]):
    def __init__(self, items: Iterable[Any]):
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)
