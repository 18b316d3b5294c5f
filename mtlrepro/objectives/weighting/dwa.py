"""Dynamic weight average (MTAN: Liu et al., CVPR 2019, equation 7)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import WEIGHTING, check_positive
from mtlrepro.objectives.weighting.base import Weighting, weighted
from mtlrepro.objectives.weighting.epochs import EpochMeans, factors
from mtlrepro.tasks.base import Task


class DWA(Weighting):
    """Σ_i λ_i L_i with λ_i = T exp(r_i / τ) / Σ_j exp(r_j / τ), r_i = L_i^(n-1) / L_i^(n-2) of an epoch's mean losses.

    Weights sum to the number of tasks T. In the first two epochs they are 1.

    An epoch in which a task was never seen, or whose mean loss is not finite or at most 1e-12, leaves the weights as
    they are and does not enter the history (`EpochMeans`). A task that is absent in a batch adds nothing to the sum;
    its weight and those of the others stay.

    Args:
        tasks: see `Weighting`.
        temperature: τ, above 0; the larger, the more alike the weights.

    Attributes:
        weights: (T,) float64, λ.

    Raises:
        SpecError: for a temperature that is not a finite number > 0.
    """

    weights: Tensor

    def __init__(self, tasks: Mapping[str, Task], *, temperature: float = 2.0):
        super().__init__(tasks)
        check_positive(WEIGHTING, temperature=temperature)
        self.temperature = float(temperature)
        self.history = EpochMeans(self.names, 2)
        self.register_buffer("weights", torch.ones(len(self.names), dtype=torch.float64))

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The sum over the tasks that are there, and the rest as it is."""
        self.history.add(losses.tasks)
        return weighted(losses, factors(self.names, self.weights, losses))

    def end_epoch(self) -> None:
        """New weights from the last two epochs that count; of fewer, all rates are 1."""
        self.history.close()
        rate = self.history.means[0] / self.history.means[1]
        # Less the largest first: divided by a tiny temperature, rates would be infinite.
        self.weights.copy_(len(self.names) * ((rate - rate.max()) / self.temperature).softmax(0))

    def figures(self) -> dict[str, dict[str, float]]:
        """`"weight"`, λ."""
        return {"weight": dict(zip(self.names, self.weights.tolist(), strict=True))}
