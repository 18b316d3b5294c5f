"""Weights from a layer's shape alone, so that JTR's networks can be compared with published numbers."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from mtlrepro.models.norms import FiLMNorm


@cache
def _normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def jtr_weights(module: nn.Module) -> nn.Module:
    """Fill every convolution and FiLM layer, in float64; the norms stay at 1 and 0. Order and names do not matter.

    A weight (o, i, k, k) is RandomState(131·o + 17·i + k).standard_normal·√(2/((i + o)k²)), a bias 0. Of FiLM over K
    tasks, gamma (C, K(K-1)) is 1 + 0.1·RandomState(7C + K).standard_normal and beta 0.1·RandomState(7C + K + 1)'s.
    """
    module.double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                outputs, inputs, size = layer.weight.shape[:3]
                scale = math.sqrt(2 / ((inputs + outputs) * size**2))
                layer.weight.copy_(_normal(131 * outputs + 17 * inputs + size, *layer.weight.shape) * scale)
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, FiLMNorm):
                channels, pairs = layer.gamma.shape
                seed = 7 * channels + round((1 + math.sqrt(1 + 4 * pairs)) / 2)
                layer.gamma.copy_(1 + 0.1 * _normal(seed, channels, pairs))
                layer.beta.copy_(0.1 * _normal(seed + 1, channels, pairs))
    return module


def uniform(seed: int, *shape: int) -> Tensor:
    """Float64 numbers in [0, 1) from a legacy NumPy stream."""
    return torch.from_numpy(np.random.RandomState(seed).rand(*shape))
