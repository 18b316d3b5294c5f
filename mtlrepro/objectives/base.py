"""The contract between a training objective and the train loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.models.outputs import Outputs
from mtlrepro.tasks.base import Task


@dataclass
class Losses:
    """What one step minimises.

    Attributes:
        total: weighted sum, a scalar with gradient.
        terms: name -> unweighted scalar, detached, for the log: `"final/<task>"`, `"<stage>/<task>"` ...
    """

    total: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """A training objective. It sees any model's outputs, and vanishes at inference.

    Parameters and buffers that it owns are trained and checkpointed with the model's.

    Args:
        tasks: every task, main and auxiliary, that a model's outputs may contain.
        weights: task -> fixed weight, for all of `tasks`.
    """

    def __init__(self, tasks: Mapping[str, Task], weights: Mapping[str, float]):
        super().__init__()
        self.tasks, self.weights = dict(tasks), dict(weights)

    @abstractmethod
    def forward(self, model: nn.Module, outputs: Outputs, batch: Batch, step: int) -> Losses:
        """The losses of one step.

        Args:
            model: the network, for objectives that run extra forward passes.
            outputs: what it returned for `batch.image`.
            batch: the batch; a task's samples with `labelled` False have no meaningful target.
            step: optimizer steps done so far in the run.
        """
