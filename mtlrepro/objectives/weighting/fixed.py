"""Task weights that stay as they are over a run: those of the paper or the user, 1 where nobody gives any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import finite
from mtlrepro.objectives.weighting.base import Weighting


class Fixed(Weighting):
    """The objective's own total, with the fixed weights of the spec: the plain weighted sum."""

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The total."""
        return losses.total


def fixed_weights(pairs: Iterable[tuple[str, Any]], tasks: Iterable[str]) -> dict[str, float]:
    """A weight for every task; those not named weigh 1.

    Args:
        pairs: (task, weight) pairs.
        tasks: names of the tasks to be weighted.

    Raises:
        SpecError: on a task that is not among `tasks`, or a weight that is not a finite number >= 0.

    Example:
        >>> fixed_weights([("edges", 50)], ["semseg", "edges"])
        {'semseg': 1.0, 'edges': 50.0}
    """
    weights = dict.fromkeys(tasks, 1.0)
    for task, value in pairs:
        if task not in weights:
            raise unknown("task", task, weights, field="objective.weights")
        if not finite(value) or value < 0:
            raise SpecError(f"weight {value!r}", field=f"objective.weights.{task}", mend="Use a finite number >= 0")
        weights[task] = float(value)
    return weights
