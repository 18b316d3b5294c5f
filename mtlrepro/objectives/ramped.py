"""An objective with a second set of predictions beside it, whose losses grow from nothing while a network trains."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from torch import nn

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.multi_scale import MultiScale
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.tasks.base import Task


def ramp(progress: float, height: float, share: float) -> float:
    """A weight that grows linearly from 0 to `height` over a share of the training, and stays there.

    Args:
        progress: share of the training that is done.
        height: of the weight in the end.
        share: of the training, 0 for a constant weight.

    Example:
        >>> [ramp(step / 40_000, 4.0, 0.5) for step in (0, 5_000, 20_000, 30_000)]
        [0.0, 1.0, 4.0, 4.0]
    """
    return height * min(1.0, progress / share) if share else height


class Ramped(Objective):
    """The losses of another objective + α(progress) · its losses of further predictions, made of the same features.

    At α = 0 total and gradients of the network are those of the other objective, to the bit.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        base: key of the other objective, which has no options and only looks at predictions and labels.
        alpha: α in the end.
        ramp: share of the training over which α grows linearly, 0 for a constant one.

    Raises:
        SpecError: for an unknown or unsuited objective, or a number out of range.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int],
        *,
        base: str,
        alpha: float,
        ramp: float,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(alpha=alpha, ramp=ramp)
        if ramp > 1:
            problem, mend = f"a ramp over {ramp} of the training", "Give a share, at most 1"
            raise SpecError(problem, field="objective.options.ramp", mend=mend)
        if base not in OBJECTIVES:
            raise unknown("objective", str(base), OBJECTIVES, field="objective.options.base")
        cls = OBJECTIVES[base]
        if not issubclass(cls, Supervised) or cls.forward is not Supervised.forward:
            problem = f"objective {base!r} does more than to compare predictions with labels"
            mend = "Choose one such as 'supervised', 'partial' or 'multi_scale'"
            raise SpecError(problem, field="objective.options.base", mend=mend)
        self.base: Supervised = cls(tasks, weights, features)
        self.alpha, self.ramp = alpha, ramp

    @classmethod
    def beside(cls, tasks: Mapping[str, Task]) -> tuple[str, ...]:
        """What "multi_scale" wants: of the objectives that can be the base, no other wants anything."""
        return MultiScale.beside(tasks)

    def groups(self) -> list[Group]:
        """Those of the other objective."""
        return self.base.groups()

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of the other objective, those of `further`, unweighted, and `"alpha"`."""
        outputs = model(batch.image)
        losses, further = self.base.losses(outputs, batch), self.further(outputs, batch)
        alpha = ramp(progress, self.alpha, self.ramp)
        shown = losses.total.detach().new_full((), alpha)
        return losses.plus(alpha * further.total, further.terms | {"alpha": shown})

    @abstractmethod
    def further(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of the further predictions, weighted by task but not by α, and their terms."""
