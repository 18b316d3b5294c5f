"""Means of the task losses over whole epochs, which LPS and DWA make their weights of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtlrepro.objectives.losses import Losses

SMALLEST = 1e-12
"""A mean must be above this to be divided by."""


class EpochMeans(nn.Module):
    """The mean loss of every task in each of the last epochs.

    A task that a step's losses lack, and a loss of exactly 0, which is that of a batch without a valid pixel, are not
    in the mean. An epoch counts as a whole or not at all: where a task was never seen in it, or a mean is not finite
    or at most 1e-12, nothing is recorded, as if there had been no such epoch, and the next one follows on the last
    that counted.

    Everything is a buffer, so that a run goes on in the middle of an epoch, and nothing waits for the device.

    Args:
        names: the tasks.
        length: epochs that are held, at least 1.

    Attributes:
        means: (length, T) float64, newest epoch first. As long as fewer epochs have counted, the oldest of them stands
            for those before it; 1 before there is any.
        epochs: () int64, how many epochs have counted.
    """

    sums: Tensor
    counts: Tensor
    means: Tensor
    epochs: Tensor

    def __init__(self, names: Sequence[str], length: int):
        super().__init__()
        self.names = tuple(names)
        self.register_buffer("sums", torch.zeros(len(names), dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(len(names), dtype=torch.int64))
        self.register_buffer("means", torch.ones(length, len(names), dtype=torch.float64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Take the losses of one step, task -> scalar."""
        if losses:
            values = stacked(self.names, losses)
            self.sums += values
            self.counts += values != 0

    def close(self) -> Tensor:
        """End an epoch.

        Returns:
            () bool, whether it counts.
        """
        mean = self.sums / self.counts.clamp(min=1)
        good = (mean.isfinite() & (mean > SMALLEST)).all()
        moved = torch.cat([mean[None], self.means[:-1]])
        recorded = torch.where(self.epochs == 0, mean.expand_as(self.means), moved)
        self.means.copy_(torch.where(good, recorded, self.means))
        self.epochs += good
        self.sums.zero_()
        self.counts.zero_()
        return good


def stacked(names: Sequence[str], losses: Mapping[str, Tensor]) -> Tensor:
    """(T,) float64 without gradient, 0 for a task that is not there; one task at least must be."""
    zero = next(iter(losses.values())).new_zeros(())
    return torch.stack([losses.get(name, zero).detach() for name in names]).double()


def factors(names: Sequence[str], weights: Tensor, losses: Losses) -> dict[str, Tensor]:
    """Task -> its element of (T,) weights, in the dtype of its loss, for the tasks that are there."""
    by_task = dict(zip(names, weights.unbind(), strict=True))
    return {task: by_task[task].to(loss.dtype) for task, loss in losses.tasks.items()}
