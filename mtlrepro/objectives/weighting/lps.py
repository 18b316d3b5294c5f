"""The loss prioritization scheme (MT-CP, WACV 2025, sec. 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mtlrepro.errors import unknown
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import WEIGHTING, check_numbers, check_whole
from mtlrepro.objectives.weighting.base import Weighting, weighted
from mtlrepro.objectives.weighting.epochs import EpochMeans, factors
from mtlrepro.objectives.weighting.log_losses import log_loss
from mtlrepro.tasks.base import Task

MOST_EPOCHS = 1000
"""The longest history: the mean losses of all its epochs are held."""
MOST_KAPPA = 1000
"""The largest factor of deviations, far above what leaves all tasks but one or two without weight."""


@dataclass(frozen=True)
class Projection:
    """What a task's weight and loss become before they are multiplied; the history is one of `loss`."""

    weight: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]


def unchanged(value: Tensor) -> Tensor:
    """The value as it is."""
    return value


PROJECTIONS = {
    "weights": Projection(torch.log1p, unchanged),
    "losses": Projection(unchanged, log_loss),
    "none": Projection(unchanged, unchanged),
}
"""Where the logarithm goes: equation 3 as it is printed; the reading of the public reference implementation, switched
off there; and nowhere, the row "w/ Loss Prioritization" of table 4."""


class LPS(Weighting):
    """Σ_i log(1 + w'_i) L_i, where tasks whose loss falls more slowly than the sum of all weigh more.

    After every epoch n, from the mean losses L_i of epochs, with L = Σ_i L_i:

        w̃_i = (L_i^n / L_i^(n-h)) / (L^n / L^(n-h)),  h = min(history, n)                 (equation 4, telescoped)
        w'_i = max(0, μ + κ (w̃_i - μ)),  μ the mean of w̃ over the tasks                   (equations 5 and 6)

    The index i in the denominator of the printed equation 4 is taken for a slip: with it every w̃ is above 1, which
    the sentence after it denies, and the public reference implementation has the sum of all tasks.

    Equation 4 says nothing of the first epochs. In the first all weights are 1; after it w̃_i = w'_i = L^0 / L_i^0
    without spread, as in the public reference implementation; then h grows up to `history`. That w' is kept from
    falling below 0, and with it log(1 + w') from a pole, is neither in the paper nor in the implementation.

    An epoch in which a task was never seen, or whose mean loss is not finite or at most 1e-12, leaves the weights as
    they are and does not enter the history (`EpochMeans`). A task that is absent in a batch adds nothing to the sum;
    its weight and those of the others stay.

    Args:
        tasks: see `Weighting`; any number.
        history: H, epochs over which losses are compared, from 1 to 1000.
        kappa: κ, factor of the deviations from the mean, from 0 to 1000; 1 leaves w̃ as they are.
        log: key of `PROJECTIONS`.

    Attributes:
        ratio: (T,) float64, w̃.
        priority: (T,) float64, w'.
        clamped: (T,) int64, epochs after which w' was kept from falling below 0.

    Raises:
        SpecError: for options out of range.
    """

    ratio: Tensor
    priority: Tensor
    clamped: Tensor

    def __init__(self, tasks: Mapping[str, Task], *, history: int = 3, kappa: float = 2.5, log: str = "weights"):
        super().__init__(tasks)
        check_whole(WEIGHTING, MOST_EPOCHS, history=history)
        check_numbers(WEIGHTING, MOST_KAPPA, kappa=kappa)
        if log not in PROJECTIONS:
            raise unknown("projection", log, PROJECTIONS, field=f"{WEIGHTING}.log")
        self.kappa, self.projection = kappa, PROJECTIONS[log]
        self.history = EpochMeans(self.names, history + 1)
        self.register_buffer("ratio", torch.ones(len(self.names), dtype=torch.float64))
        self.register_buffer("priority", torch.ones(len(self.names), dtype=torch.float64))
        self.register_buffer("clamped", torch.zeros(len(self.names), dtype=torch.int64))

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The sum over the tasks that are there, and the rest as it is."""
        projected = {task: self.projection.loss(loss) for task, loss in losses.tasks.items()}
        # The logarithm of an empty batch's loss is not 0, but it is none of the epoch's, either.
        self.history.add({task: torch.where(losses.tasks[task] == 0, 0.0, value) for task, value in projected.items()})
        losses = replace(losses, tasks=projected)
        return weighted(losses, factors(self.names, self.projection.weight(self.priority), losses))

    def end_epoch(self) -> None:
        """New weights from the means of the epoch that is over and of those before it.

        Where that epoch does not count, the means are what they were, and so are the weights.
        """
        good = self.history.close()
        newest, oldest = self.history.means[0], self.history.means[-1]
        first = self.history.epochs == 1
        change = (newest / oldest) / (newest.sum() / oldest.sum())
        ratio = torch.where(first, newest.sum() / newest, change)
        mean = ratio.mean()
        spread = torch.where(first, ratio, mean + self.kappa * (ratio - mean))
        self.ratio.copy_(ratio)
        self.priority.copy_(spread.clamp(min=0))
        self.clamped += good & (spread < 0)

    def figures(self) -> dict[str, dict[str, float]]:
        """Of `"weight"`, `"priority"`, `"ratio"` and `"clamped"`.

        The weight is the factor of a loss, or of its logarithm where losses are projected; priority is w', ratio w̃, and
        clamped says after how many epochs so far w' was kept from falling below 0.
        """
        series = {
            "weight": self.projection.weight(self.priority),
            "priority": self.priority,
            "ratio": self.ratio,
            "clamped": self.clamped.double(),
        }
        return {name: dict(zip(self.names, values.tolist(), strict=True)) for name, values in series.items()}
