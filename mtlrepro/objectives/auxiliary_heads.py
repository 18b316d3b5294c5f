"""Auxiliary heads, what the 3D-aware regularizer is compared with (ICLR 2024, section 4.3, table 4).

Is it the volume that helps, or would more predictions of the same features do? The paper puts a second task decoder
beside the network's own; how far into the network that reaches, it does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.ramped import Ramped
from mtlrepro.tasks.base import Task


class AuxiliaryHeads(Ramped):
    """Losses of the network's predictions + α Σ_t λ_t of the same losses of a second decoder's, which then vanishes.

    The second decoder is built like the network's own, all of it behind the encoder, with other initial weights, and
    reads the same encoder maps; its intermediate predictions are supervised as the network's are.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        base: objective of both decoders' predictions: "supervised", or the host's own, such as "multi_scale".
        alpha: α in the end; the regularizer's. [choice]
        ramp: share of the training over which α grows linearly from 0; the regularizer's. [choice]

    Raises:
        SpecError: for an unknown or unsuited objective, or a number out of range.
    """

    decoder: nn.Module | None

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        base: str = "supervised",
        alpha: float = 4.0,
        ramp: float = 0.5,
    ):
        super().__init__(tasks, weights, features, base=base, alpha=alpha, ramp=ramp)
        self.decoder = None

    def attach(self, decoder: Callable[[], nn.Module]) -> None:
        """Build the second decoder."""
        self.decoder = decoder()

    def further(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of the second decoder's predictions; terms are `"auxiliary/final/<task>"` and so on.

        Raises:
            SpecError: before `attach`.
        """
        if self.decoder is None:
            mend = "Call attach with what builds one, as mtlrepro.engine.run does"
            raise SpecError("there is no second decoder", field="objective", mend=mend)
        encoder: Any = self.decoder.get_submodule("backbone")
        encoder.maps = outputs.features
        try:
            losses = self.base.losses(self.decoder(batch.image), batch)
        finally:
            encoder.maps = []  # or they would stay in memory until the next step
        return Losses(losses.total, {f"auxiliary/{name}": value for name, value in losses.terms.items()})
