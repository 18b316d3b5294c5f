"""Fill rule and comparison of the vectors that were measured on the public implementation of DenseMTL."""

from __future__ import annotations

import pytest
import torch
from model_vectors import randn
from torch import Tensor, nn


def fill(layer: nn.Module, seed: int, scale: float = 0.2) -> None:
    """Convolution: weight and bias drawn from streams `seed` and `seed` + 500; batch norm: `seed` and `seed` + 1."""
    with torch.no_grad():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.copy_(1 + 0.1 * randn(seed, layer.weight.shape)[0])
            layer.bias.copy_(0.1 * randn(seed + 1, layer.bias.shape)[0])
            return
        assert isinstance(layer, nn.Conv2d)
        layer.weight.copy_(scale * randn(seed, layer.weight.shape)[0])
        if layer.bias is not None:
            layer.bias.copy_(scale * randn(seed + 500, layer.bias.shape)[0])


def fill_conv_norm(block: nn.Module, seed: int, scale: float = 0.2) -> None:
    """A block of convolution and batch norm from streams `seed` and `seed` + 1."""
    layers = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d]
    fill(layers[0], seed, scale)
    fill(layers[1], seed + 1)


def assert_sums(found: Tensor, total: float, at: tuple[float, ...], place: tuple[int, int] = (0, 0)) -> None:
    """Sum over everything, and channels 0, 1, … of sample 0 at (row, column)."""
    values = found.detach().double()
    shown = values[0, : len(at), place[0], place[1]].tolist()
    # Sums cancel, so their error is that of their largest addends; places are printed with six decimals.
    assert values.sum().item() == pytest.approx(total, rel=1e-4, abs=2e-4)
    assert shown == pytest.approx(at, rel=1e-4, abs=2e-6)
