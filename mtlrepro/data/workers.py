"""Work done ahead of time in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mtlrepro.errors import ReproError, TrainingError

T = TypeVar("T")


def ahead(make: Callable[[Any], T], items: Iterable[Any], workers: int, depth: int = 2) -> Generator[T, None, None]:
    """make(item) of each item, in their order, `depth` items a worker ahead.

    The processes live as long as the iterator; closing or dropping it ends them.

    Args:
        make: runs in the workers.
        items: may be without end.
        workers: number of processes.
        depth: see above.

    Raises:
        ReproError: what `make` raised.
        Exception: what `items` raised, after everything before it was made.
    """
    sampler = _Items(items)
    loader = DataLoader(
        _Made(make),
        sampler=sampler,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=depth,
        generator=torch.Generator(),  # else the loader would draw from the generator that training uses
    )
    for made in loader:
        if isinstance(made, ReproError):
            raise made
        yield made
    if sampler.error is not None:
        raise sampler.error


def death(error: RuntimeError) -> TrainingError | None:
    """What is said of an error by which PyTorch tells, wherever it notices, that a worker process was killed.

    None for any other error. Raise it where `error` is not handled any more: its traceback holds loaders, and with them
    the other processes.
    """
    if "DataLoader worker" not in str(error):
        return None
    mend = "Start again: what is stored is kept. If the host is short of memory, use fewer workers"
    return TrainingError(f"a worker process died ({error})", field="workers", mend=mend)


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
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.items
        except Exception as error:  # kept: raised in here it would hold the loader, and with it the processes
            self.error = error
