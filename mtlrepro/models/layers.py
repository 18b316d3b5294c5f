"""Layers that several architectures share.

The residual blocks are timm's `BasicBlock` and `Bottleneck` at their defaults, which are those of the public reference
implementations: 3x3-3x3 and 1x1-3x3-1x1 convolutions without bias, batch norm of momentum 0.1, ReLU, and PyTorch's own
initialisation (`mtlrepro.models.hrnet` changes momentum and initialisation for the backbone only).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn


def _projection(inputs: int, outputs: int) -> nn.Module | None:
    """Shortcut of a residual block: none (identity) where the widths agree, else 1x1 convolution and batch norm."""
    if inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def basic_block(inputs: int, outputs: int) -> BasicBlock:
    """A basic residual block of stride 1, `inputs` to `outputs` channels."""
    return BasicBlock(inputs, outputs, downsample=_projection(inputs, outputs))


def bottleneck(inputs: int, outputs: int) -> Bottleneck:
    """A bottleneck residual block of stride 1 whose inner width is a quarter of `outputs`."""
    return Bottleneck(inputs, outputs // Bottleneck.expansion, downsample=_projection(inputs, outputs))


def resize(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize (B, C, h, w) to (B, C, *size), bilinear with half-pixel centres; itself where the size agrees."""
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def concat_scales(maps: list[Tensor]) -> Tensor:
    """Resize maps of several scales to the size of the first and concatenate them, first one first."""
    return torch.cat([resize(m, maps[0].shape[-2:]) for m in maps], dim=1)


class SqueezeExcite(nn.Module):
    """Channel gating (Hu et al., CVPR 2018): pooled channels through two linear layers and a sigmoid scale the input.

    Args:
        channels: width C of the input (B, C, H, W) and of the output.
        reduction: the hidden layer has C // reduction units, at least one.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W), every channel scaled by its gate in (0, 1)."""
        return features * self.gate(features.mean(dim=(2, 3)))[:, :, None, None]
