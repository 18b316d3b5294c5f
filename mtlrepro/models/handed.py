"""A stand-in encoder: further decoders read the maps that another network's backbone has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Handed(nn.Module):
    """The backbone of a decoder that gets its maps from outside; it owns no parameter and looks at no image.

    Args:
        channels: width of every map, finest first.
        strides: stride of every map.
        brings: what else the encoder has for who reads its maps (`mtlrepro.models.base.BRINGS`).

    Attributes:
        maps: what the next call returns, (B, channels[s], H / strides[s], W / strides[s]) each.
        weights_report: None, since there are no weights.
    """

    weights_report = None

    def __init__(self, channels: Sequence[int], strides: Sequence[int], **brings: Any):
        super().__init__()
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.maps: list[Tensor] = []
        for name, value in brings.items():
            setattr(self, name, value)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps that were set."""
        return self.maps
