"""What an objective gives back for a step, and what it says of parameters that learn at a rate of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn


@dataclass
class Losses:
    """What one step minimises.

    Attributes:
        total: weighted sum, a scalar with gradient; one without gradient says that there is nothing to learn from
            this batch, and no optimizer step is made.
        terms: name -> unweighted scalar, detached, for the log: `"final/<task>"`, `"<stage>/<task>"` ...
        tasks: task -> its share of `total`, with gradient: the loss of its final prediction (or what stands for it)
            times its fixed weight. This is what a weighting weighs anew (`mtlrepro.objectives.weighting`). A task
            without a labelled sample is left out; one without a valid pixel is exactly 0.
        rest: what else `total` has, with gradient: intermediate predictions, regularisers; None for nothing.
    """

    total: Tensor
    terms: dict[str, Tensor]
    tasks: dict[str, Tensor] = field(default_factory=dict)
    rest: Tensor | None = None

    def plus(self, more: Tensor, terms: Mapping[str, Tensor] | None = None) -> Losses:
        """The same with something added that no weighting touches, and with its terms."""
        rest = more if self.rest is None else self.rest + more
        return replace(self, total=self.total + more, terms={**self.terms, **(terms or {})}, rest=rest)


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
