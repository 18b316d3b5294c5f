"""The contract between a training objective and the train loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.weighting.base import Weighting
from mtlrepro.objectives.weighting.fixed import Fixed
from mtlrepro.tasks.base import Task


class Objective(nn.Module, ABC):
    """A training objective. It runs any model, asks for what it needs as data, and vanishes at inference.

    Parameters and buffers that it owns are trained and checkpointed with the model's.

    Args:
        tasks: every task, main and auxiliary, that a model's outputs may contain.
        weights: task -> fixed weight, for all of `tasks`.
        features: widths of the model's encoder maps, finest first.

    Attributes:
        weighting: what makes the scalar that is minimised of the losses that `forward` returns.

    Class attributes:
        views: augmented views of every sample that it wants in a batch.
        prerequisite: what it needs that a user's own dataset does not offer, in words; "" for nothing.
    """

    views: ClassVar[int] = 1
    prerequisite: ClassVar[str] = ""

    def __init__(self, tasks: Mapping[str, Task], weights: Mapping[str, float], features: Sequence[int] = ()):
        super().__init__()
        self.tasks, self.weights, self.features = dict(tasks), dict(weights), tuple(features)
        self.weighting: Weighting = Fixed(tasks)

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Run the model on the batch and return the losses of one step.

        Args:
            model: the network, in training mode.
            batch: the batch; a task's samples with `labelled` False have no meaningful target.
            progress: optimizer steps done so far as a share of all, in [0, 1).
        """

    def adopt(self, teachers: Sequence[nn.Module]) -> None:
        """Take the networks of the runs that the spec `needs`, in evaluation mode; by default there must be none.

        Raises:
            SpecError: if this objective cannot use them.
        """
        if teachers:
            mend = "Leave `needs` empty, or choose an objective that learns from other runs"
            raise SpecError(f"{type(self).__name__} needs no other runs, got {len(teachers)}", field="needs", mend=mend)

    def attach(self, decoder: Callable[[], nn.Module]) -> None:
        """Take what it trains of the model's kind, before anything is trained; by default nothing.

        Args:
            decoder: builds one more network like the model, with weights of its own and with the model's encoder left
                out (`mtlrepro.models.build_decoder`).
        """

    def predictions(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, dict[str, Tensor]]:
        """Predictions of its own, which the evaluation after the last step judges beside the model's; none by default.

        Args:
            outputs: the model's, in evaluation mode, as the objective is.
            size: (height, width) of the network's input.

        Returns:
            Name of a view -> task -> raw predictions (B, C_task, *size).
        """
        return {}

    @classmethod
    def beside(cls, tasks: Mapping[str, Task]) -> tuple[str, ...]:
        """Tasks that are none of a model's `tasks` and whose labels the objective wants in a batch all the same."""
        return ()

    def groups(self) -> list[Group]:
        """Those of its parameters that learn at a rate of their own; the others follow the recipe."""
        return []
