"""The logarithm of every task loss, without weights: "log smoothing" (MT-CP, sec. 3.5 and table 4)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting.base import Weighting, weighted

EPS = 1e-6
"""What the public reference implementation adds to a loss and 1 before the logarithm."""


def log_loss(loss: Tensor) -> Tensor:
    """log(1 + L + 1e-6), which brings losses of any size to a common scale."""
    return (loss + EPS).log1p()


class LogLosses(Weighting):
    """Σ_i log(1 + L_i + 1e-6): a loss of L_i learns with the factor 1 / (1 + L_i + 1e-6).

    Equation 3 projects weights, not losses. With weights of 1 it is log(2) Σ_i L_i, equal weights but for a constant;
    only the logarithm of the losses, which the public reference implementation holds switched off, makes the row "w/
    Log Smoothing" of table 4 differ from the one with equal weights.

    A task that is absent in a batch adds nothing.
    """

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The sum of the logarithms, and the rest as it is."""
        projected = {task: log_loss(loss) for task, loss in losses.tasks.items()}
        return weighted(replace(losses, tasks=projected), dict.fromkeys(projected, 1.0))
