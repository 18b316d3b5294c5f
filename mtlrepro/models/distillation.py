"""Multi-modal distillation of PAD-Net (CVPR 2018), as MTI-Net (ECCV 2020) writes it in equation 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn


class AttentionUnit(nn.Module):
    """Attended features of one source task: σ(W F) ⊙ (W' F), with 3x3 convolutions W and W' without bias.

    The attention mask has a value per pixel and channel.

    Args:
        channels: width C of the features (B, C, H, W).
        outputs: width of the result, C by default.
    """

    def __init__(self, channels: int, outputs: int | None = None):
        super().__init__()
        outputs = channels if outputs is None else outputs
        self.mask = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        self.value = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, outputs, H, W) attended features."""
        return self.mask(features).sigmoid() * self.value(features)


class Distillation(nn.Module):
    """Adds to each main task's features what it attends to in every other task's (MTI-Net, equation 1).

    F^o_k = F^i_k + Σ_{l≠k} σ(W_{k,l} F^i_l) ⊙ (W'_{k,l} F^i_l), for main tasks k and all tasks l of the front-end.
    A single task has nobody to attend to and keeps its features.

    Args:
        main: tasks that receive.
        aux: tasks that send, the main ones among them.
        channels: width of every task's features.
    """

    def __init__(self, main: Sequence[str], aux: Sequence[str], channels: int):
        super().__init__()
        self.units = nn.ModuleDict(
            {
                task: nn.ModuleDict({source: AttentionUnit(channels) for source in aux if source != task})
                for task in main
            }
        )

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Distilled features per main task, from initial features (B, C, H, W) per front-end task."""
        return {task: self._attend(task, features) for task in self.units}

    def _attend(self, task: str, features: Mapping[str, Tensor]) -> Tensor:
        distilled = features[task]
        for source, unit in cast(nn.ModuleDict, self.units[task]).items():
            distilled = distilled + unit(features[source])
        return distilled
