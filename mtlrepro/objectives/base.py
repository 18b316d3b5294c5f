"""The contract between a training objective and the train loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.tasks.base import Task


@dataclass
class Losses:
    """What one step minimises.

    Attributes:
        total: weighted sum, a scalar with gradient; one without gradient says that there is nothing to learn from
            this batch, and no optimizer step is made.
        terms: name -> unweighted scalar, detached, for the log: `"final/<task>"`, `"<stage>/<task>"` ...
    """

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Group:
    """Parameters of an objective that learn at a rate of their own.

    Attributes:
        parameters: some of the objective's parameters.
        lr_factor: their learning rate as a multiple of the recipe's.
        lr: their learning rate itself, whatever the recipe's is, in place of `lr_factor`; a schedule multiplies it.
        period: share of the training after which their learning rate halves, again and again; None follows the
            recipe's schedule.
        schedule: key of a schedule of their own (`mtlrepro.engine.optim.SCHEDULES`); None follows the recipe's.
        optimizer: key of an optimizer of their own (`mtlrepro.engine.optim.OPTIMIZERS`), without weight decay; None
            puts them into the recipe's.
    """

    parameters: Sequence[nn.Parameter]
    lr_factor: float = 1.0
    period: float | None = None
    schedule: str | None = None
    optimizer: str | None = None
    lr: float | None = None


class Objective(nn.Module, ABC):
    """A training objective. It runs any model, asks for what it needs as data, and vanishes at inference.

    Parameters and buffers that it owns are trained and checkpointed with the model's.

    Args:
        tasks: every task, main and auxiliary, that a model's outputs may contain.
        weights: task -> fixed weight, for all of `tasks`.
        features: widths of the model's encoder maps, finest first.

    Class attributes:
        views: augmented views of every sample that it wants in a batch.
        prerequisite: what it needs that a user's own dataset does not offer, in words; "" for nothing.
    """

    views: ClassVar[int] = 1
    prerequisite: ClassVar[str] = ""

    def __init__(self, tasks: Mapping[str, Task], weights: Mapping[str, float], features: Sequence[int] = ()):
        super().__init__()
        self.tasks, self.weights, self.features = dict(tasks), dict(weights), tuple(features)

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
