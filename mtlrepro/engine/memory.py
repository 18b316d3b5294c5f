"""When the memory of a device is full: what it was full with, and which batch would fit."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from mtlrepro.errors import TrainingError
from mtlrepro.spec import Recipe

SIGNS = ("out of memory", "ALLOC_FAILED", "can't allocate memory", "not enough memory")
"""Parts of what CUDA, its libraries and PyTorch on a CPU say where they do not raise an error of its own kind."""


class MemoryFull(Exception):
    """A device's memory is full. Its traceback holds what fills it: drop it before anything is tried again.

    Attributes:
        during: what the memory was wanted for.
        detail: what PyTorch said.
    """

    def __init__(self, during: str, detail: str):
        super().__init__(during, detail)
        self.during, self.detail = during, detail


@contextmanager
def watched(during: str) -> Iterator[None]:
    """Raise `MemoryFull` where PyTorch raises an error of its own because a device's memory is full."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(sign in str(error) for sign in SIGNS):
            raise
        raise MemoryFull(during, str(error).partition("\n")[0]) from error


def free(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def fits(try_out: Callable[[], object], device: torch.device) -> bool:
    """Whether something can be done in the memory that is left; afterwards what it took is free again.

    What an objective, or a norm, refuses because it is of too few images does not fit either; whatever else goes wrong
    in a trial is no reason to hide that the memory was full.
    """
    try:
        with watched("a trial"):
            try_out()
        return True
    except Exception:
        return False
    finally:
        free(device)


def largest(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number of images up to `limit` that fits, 0 for none, found by halving.

    Args:
        limit: asked about first.
        fits: whether a number of images does; with one that does, all smaller ones do.

    Example:
        >>> largest(16, lambda images: images <= 5)
        5
    """
    if fits(limit):
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def training_full(device: torch.device, detail: str, recipe: Recipe, found: int | None) -> TrainingError:
    """What is said where a training does not fit.

    Args:
        device: whose memory is full.
        detail: what PyTorch said.
        recipe: of the training.
        found: the largest batch that fits, 0 for none; None where processes share batches, which are not tried.
    """
    batch = recipe.batch
    problem, other = f"the memory of {device} is full in training with a batch of {batch}", "use a GPU with more memory"
    if found is None:
        problem += f" shared by {recipe.ranks} processes"
        mend = f"Start more processes, so that each has fewer images, or {other}"
    elif found == batch:
        problem += ", which fits where nothing else is in memory"
        mend = "Stop what else runs on the device and start again, from the last checkpoint"
    elif found:
        problem += f"; a batch of {found} fits"
        mend = f"Lower recipe.batch to {found}, share the batch between GPUs (torchrun), or {other}"
    else:
        problem += ", and no smaller one that the objective can use fits"
        mend = f"Lower data.size, or {other}"
    return TrainingError(f"{problem} ({detail})", field="recipe.batch", mend=mend[0].upper() + mend[1:])


def other_full(device: torch.device, full: MemoryFull) -> TrainingError:
    """What is said where something else than training steps does not fit; `recipe.batch` is not what it needs."""
    problem = f"the memory of {device} is full in {full.during} ({full.detail})"
    mend = "The last checkpoint is kept: stop what else runs on the device, or use a GPU with more memory"
    return TrainingError(problem, field=full.during, mend=f"{mend}, and start again")
