"""Convolutional block attention module (Woo et al., ECCV 2018), as MT-CP's public reference implementation has it.

Channels are gated first, places second. Where highest values are tied, the first of them gets the gradient, as max
pooling has it: after a ReLU ties at zero are common. Picked by index, the maximum has a fixed order of sums on CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOMENTUM = 0.01
"""Of the batch norm in the gate of places, as published."""


class CBAM(nn.Module):
    """Features times a gate in (0, 1) a channel, then times a gate in (0, 1) a place.

    Layers are initialised as PyTorch does.

    Args:
        channels: width C of the features.
        reduction: the hidden layer of the channel gate has C // reduction units, at least one.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.place = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))
        self.set_momentum(MOMENTUM)

    def set_momentum(self, momentum: float) -> None:
        """That of the batch norm in the gate of places."""
        self.place.get_submodule("1").momentum = momentum  # type: ignore[assignment]

    def forward(self, features: Tensor) -> Tensor:
        """Gated features, of the shape (B, C, h, w) of the features."""
        places = features.flatten(2)
        gate = self.channel(places.mean(dim=2)) + self.channel(places.max(dim=2).values)
        features = features * gate.sigmoid()[:, :, None, None]
        pooled = torch.stack((features.max(dim=1).values, features.mean(dim=1)), dim=1)
        return features * self.place(pooled).sigmoid()
