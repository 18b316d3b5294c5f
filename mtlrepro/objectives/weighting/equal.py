"""Equal weights (MT-CP, sec. 3.5, equation 2)."""

from __future__ import annotations

from torch import Tensor, nn

from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting.base import Weighting, weighted


class Equal(Weighting):
    """Σ_i L_i / T with the number of all tasks T, whether or not the batch has labels of each.

    A task that is absent in a batch adds nothing, and the weights of the others stay 1 / T.
    """

    def combined(self, losses: Losses, model: nn.Module) -> Tensor:
        """The mean over all tasks, and the rest as it is."""
        return weighted(losses, dict.fromkeys(self.names, 1 / len(self.names)))
