"""Norms of the auxiliary networks of partially labelled training: JTR's auto-encoder and MTPSL's mapping networks.

The public reference implementations run these networks on one sample at a time, with batch norm in training mode. That
is instance norm (per sample and channel, biased variance, affine); batches of samples go through at once here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def replace_norms(module: nn.Module, make: Callable[[int], nn.Module]) -> None:
    """Put `make(channels)` in the place of every batch norm inside a module."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, make(child.num_features))


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Affine instance norm, the same in training and in evaluation; eps is batch norm's 1e-5."""
    return nn.InstanceNorm2d(channels, affine=True)


class FiLMNorm(nn.Module):
    """Instance norm, then feature-wise linear modulation (FiLM) by one of several columns of scales and shifts.

    The owner sets `selected` for the length of one pass. Both affine maps are folded into one, so that modulation
    needs no memory for the norm's result.

    Args:
        channels: C of the input (B, C, H, W).
        columns: number of columns P.

    Attributes:
        weight: (C,) and `bias` (C,), the norm's own, 1 and 0 at the start.
        gamma: (C, P) and `beta` (C, P), the modulation, 1 and 0 at the start.
        selected: (B,) int64, the column of every sample; there is none outside of a pass.
    """

    selected: Tensor

    def __init__(self, channels: int, columns: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels, columns))
        self.beta = nn.Parameter(torch.zeros(channels, columns))

    def forward(self, maps: Tensor) -> Tensor:
        """Normalised and modulated maps, of the shape of `maps`."""
        gamma, beta = self.gamma.T[self.selected], self.beta.T[self.selected]
        weight, bias = gamma * self.weight, gamma * self.bias + beta
        flat = maps.reshape(1, -1, *maps.shape[-2:])  # a sample's channel becomes a channel of a batch of one
        return F.batch_norm(flat, None, None, weight.flatten(), bias.flatten(), training=True).view_as(maps)
