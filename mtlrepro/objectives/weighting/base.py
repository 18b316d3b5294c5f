"""The contract of a loss weighting: task losses and their history in, what is minimised out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from mtlrepro.errors import unknown
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.tasks.base import Task


class Weighting(nn.Module, ABC):
    """Weighs the task losses of any objective on any model.

    What is weighed is the loss of every task's final prediction, with its fixed weight (`Losses.tasks`); intermediate
    predictions and regularisers stay as the objective has them, as in equation 7 of MT-CP. History and learned weights
    are buffers and parameters, so that they are checkpointed with the run.

    Args:
        tasks: the tasks whose final predictions are trained.
    """

    def __init__(self, tasks: Mapping[str, Task]):
        super().__init__()
        self.names = tuple(tasks)

    def forward(self, losses: Losses, model: nn.Module) -> Tensor:
        """The scalar that a training step minimises; called once a step.

        Args:
            losses: what the objective gave; only those tasks are in it that the batch has labels of.
            model: the network that is trained.

        Raises:
            SpecError: for a task that this weighting was not built for; or see `combined`.
        """
        for task in losses.tasks:
            if task not in self.names:
                raise unknown("task", task, self.names, field="objective.weighting")
        return self.combined(losses, model)

    @abstractmethod
    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """What `forward` returns, of losses of known tasks."""

    def end_epoch(self) -> None:
        """Take notice that a pass over the training samples is over; by default nothing."""

    def figures(self) -> dict[str, dict[str, float]]:
        """What the log holds of every finished epoch: name of a series -> task -> value; by default nothing.

        Series `"weight"` is what a task's loss is multiplied by in the next step.
        """
        return {}

    def groups(self) -> list[Group]:
        """Those of its parameters that learn at a rate of their own; the others follow the recipe."""
        return []


def weighted(losses: Losses, factors: Mapping[str, Tensor | float]) -> Tensor:
    """Σ_t factor_t · loss_t over the tasks that are there, and the rest; the total itself without any task."""
    if not losses.tasks:
        return losses.total
    parts = [factors[task] * loss for task, loss in losses.tasks.items()]
    total = sum(parts[1:], parts[0])
    return total if losses.rest is None else total + losses.rest
