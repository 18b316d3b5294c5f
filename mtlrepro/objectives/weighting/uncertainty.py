"""Weights by the uncertainty of a task, learned with the network (Kendall et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.weighting.base import Weighting, weighted
from mtlrepro.tasks.base import Task


class Uncertainty(Weighting):
    """Σ_i exp(-s_i) L_i + s_i / 2 with learned s_i = log σ_i², 0 at first.

    That is the term of a classification in equation 10, L / σ² + log σ. The one of a regression in equations 7 and 10,
    L / (2 σ²) + log σ, is the same function of 2 σ² but for a constant, so one form serves every kind of loss, and the
    two differ only in the weight that a task starts with: 1 here for all. Absolute errors take the place of squared
    ones as in the paper's own experiments (sec. 4). For a loss of L_i the best weight is 1 / (2 L_i), of either term.

    The s_i learn by an Adam of their own at the rate of the recipe, without weight decay, which would draw them to a
    weight of 1. A recipe that clips gradients (`mtlrepro.spec.Recipe.clip`) measures those of the s_i and of the
    network as one vector, and scales both by one factor.

    A task that is absent in a batch adds neither term, so that its s_i has no gradient and stays as it is. A loss of
    exactly 0, that of a batch without a valid pixel, adds neither, too; its gradient is 0, after which Adam's momentum
    alone moves s_i.

    Args:
        tasks: see `Weighting`.

    Attributes:
        log_variances: task -> s_i, a scalar.
    """

    def __init__(self, tasks: Mapping[str, Task]):
        super().__init__(tasks)
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in self.names})

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The sum over the tasks that are there, and the rest as it is."""
        logs = {task: self.log_variances[task].to(loss.dtype) for task, loss in losses.tasks.items()}
        total = weighted(losses, {task: (-log).exp() for task, log in logs.items()})
        for task, log in logs.items():
            total = total + torch.where(losses.tasks[task].detach() == 0, 0.0, log / 2)
        return total

    def figures(self) -> dict[str, dict[str, float]]:
        """`"weight"`, exp(-s)."""
        return {"weight": {name: float((-self.log_variances[name].detach()).exp()) for name in self.names}}

    def groups(self) -> list[Group]:
        """All s_i."""
        return [Group(list(self.log_variances.values()), optimizer="adam")]
