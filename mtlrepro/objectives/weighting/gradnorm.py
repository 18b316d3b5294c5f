"""Gradient normalisation: weights that even out how much tasks move the shared network (Chen et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.errors import SpecError
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.numbers import WEIGHTING, check_numbers, check_positive
from mtlrepro.objectives.weighting.base import Weighting, weighted
from mtlrepro.objectives.weighting.epochs import factors, stacked
from mtlrepro.tasks.base import Task

FLOOR = 1e-6
"""Weights below this become it before they are scaled, so that none turns negative."""
MOST_ALPHA, MOST_RATE = 10, 1
"""The largest α, beyond which targets leave the range of float32, and the largest step of weights that sum to T."""


class GradNorm(Weighting):
    """Σ_i w_i L_i for the network, and Σ_i |G_i - Ḡ r_i^α| for the weights (equation 2).

    G_i = w_i ‖∇_W L_i‖ with the last shared weight W (`shared_gradients`), Ḡ is their mean over the tasks, and r_i is
    L_i / L_i(0) over its mean. The target Ḡ r_i^α is a constant, and so is ‖∇_W L_i‖: nothing is differentiated
    twice. In front of every step the weights are scaled to a sum of T.

    The weights have an Adam of their own at a constant rate, as in the paper. What is logged as the loss has both sums.
    A recipe that clips gradients (`mtlrepro.spec.Recipe.clip`) measures those of the weights and of the network as one
    vector, and scales both by one factor.

    L_i(0) is a task's loss in the first step that has one. With the rates of the paper weights stay above 0 but for
    Adam's momentum; the paper has no bound.

    Tasks that are absent in a batch, or whose loss is exactly 0, that of a batch without a valid pixel, are in no mean
    and no sum. An absent task's weight has no gradient: only the scaling moves it. One task alone says nothing of a
    balance: no weight has a gradient then.

    Args:
        tasks: see `Weighting`.
        alpha: α, from 0 to 10; the larger, the more tasks that lag behind are favoured.
        lr: learning rate of the weights, above 0 and at most 1.

    Attributes:
        weights: task -> w_i, a scalar, 1 at first.
        initial: (T,) float64, L_i(0); 0 as long as there was none.

    Raises:
        SpecError: for options out of range.
    """

    initial: Tensor

    def __init__(self, tasks: Mapping[str, Task], *, alpha: float = 1.5, lr: float = 0.025):
        super().__init__(tasks)
        check_numbers(WEIGHTING, MOST_ALPHA, alpha=alpha)
        check_positive(WEIGHTING, MOST_RATE, lr=lr)
        self.alpha, self.lr = alpha, lr
        self.weights = nn.ParameterDict({name: nn.Parameter(torch.ones(())) for name in self.names})
        self.register_buffer("initial", torch.zeros(len(self.names), dtype=torch.float64))

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """Both sums over the tasks that are there, and the rest as it is; the second has no gradient to the network.

        Raises:
            SpecError: if there is no weight that the losses share.
        """
        scaled = self._scaled()
        with torch.no_grad():
            for name, weight in zip(self.names, scaled.unbind(), strict=True):
                self.weights[name].copy_(weight)
        total = weighted(losses, factors(self.names, scaled, losses))
        there = {task: loss for task, loss in losses.tasks.items() if loss.requires_grad}
        if there:
            values = stacked(self.names, there)
            self.initial.copy_(torch.where((self.initial == 0) & (values != 0), values, self.initial))
        if len(there) > 1:
            found = map(collective.mean, shared_gradients(list(there.values()), model))
            norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in found]
            own = self._imbalance(values, dict(zip(there, norms, strict=True)))
            total = total + own.to(total.dtype)
        return total

    def _scaled(self) -> Tensor:
        """(T,) weights without gradient whose sum is T."""
        weights = torch.stack([self.weights[name].detach() for name in self.names]).clamp(min=FLOOR)
        return weights * (len(self.names) / weights.sum())

    def _imbalance(self, losses: Tensor, norms: Mapping[str, Tensor]) -> Tensor:
        """Σ_i |G_i - Ḡ r_i^α|.

        Args:
            losses: (T,), 0 where a task has none.
            norms: task -> ‖∇_W L_i‖ for those that are there.
        """
        seen = losses != 0
        count = seen.sum().clamp(min=1)
        # Detached where a task is absent: a gradient of 0 would still let Adam's momentum move its weight.
        weights = [self.weights[name] if name in norms else self.weights[name].detach() for name in self.names]
        size = torch.stack(weights).double() * stacked(self.names, norms)
        progress = torch.where(seen, losses / torch.where(seen, self.initial, 1.0), 0.0)
        mean = progress.sum() / count
        rate = progress / torch.where(mean > 0, mean, 1.0)
        target = torch.where(seen, size.detach(), 0.0).sum() / count * rate**self.alpha
        return torch.where(seen, (size - target).abs(), 0.0).sum()

    def figures(self) -> dict[str, dict[str, float]]:
        """`"weight"`, w scaled to a sum of T."""
        return {"weight": dict(zip(self.names, self._scaled().tolist(), strict=True))}

    def groups(self) -> list[Group]:
        """All weights."""
        return [Group(list(self.weights.values()), lr=self.lr, schedule="constant", optimizer="adam")]


def shared_gradients(losses: Sequence[Tensor], model: nn.Module) -> list[Tensor]:
    """The gradient of every loss with respect to the last weight that all of them reach.

    Weights are the trained parameters of the backbone's layers with two axes or more, the last one being that
    registered last; where the maps are handed in and the backbone has no parameters, those of the whole network. Tables
    of embeddings are no layers: transformers register them where it suits them.

    Args:
        losses: scalars with gradient; their graphs are kept.
        model: the network that they are of.

    Raises:
        SpecError: if there is no such weight.
    """
    backbone = model.get_submodule("backbone")
    network = backbone if any(True for _ in backbone.parameters()) else model
    layers = [module for module in network.modules() if not isinstance(module, nn.Embedding)]
    parameters = [p for layer in layers for p in layer.parameters(recurse=False)]
    for weight in reversed([p for p in parameters if p.requires_grad and p.ndim > 1]):
        found: list[Tensor] = []
        for loss in losses:
            (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True, allow_unused=True)
            if gradient is None:
                break
            found.append(gradient)
        else:
            return found
    mend = "Train the backbone (`recipe.encoder_lr` above 0 or left out), or choose another weighting"
    raise SpecError(
        "the losses share no weight of the backbone that is trained", field="objective.weighting", mend=mend
    )
