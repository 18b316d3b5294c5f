"""Weights that depend on shapes alone, and the statistics in which networks filled with them were published."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def fill_by_shape(module: nn.Module) -> nn.Module:
    """Fill every parameter of k elements from RandomState(k mod 1000003).randn(k), and switch to evaluation mode.

    Matrices and kernels are scaled by √(1.5 · outputs / k), scales of norms are 1 + 0.1 z, biases 0.1 z.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            count = parameter.numel()
            z = torch.from_numpy(np.random.RandomState(count % 1000003).randn(count)).view(parameter.shape)
            if parameter.ndim > 1:
                values = z * math.sqrt(1.5 * len(parameter) / count)
            else:
                values = 0.1 * z + (1 if name.endswith("weight") else 0)
            parameter.copy_(values.float())
    return module.eval()


def assert_statistics(found: Tensor, mean: float, magnitude: float, *elements: float) -> None:
    """Mean, mean magnitude, and elements 0, n/3, n/2 and n - 1 of the flattened tensor."""
    flat = found.detach().double().flatten()
    n = len(flat)
    actual = [flat.mean(), flat.abs().mean(), *(flat[i] for i in (0, n // 3, n // 2, n - 1))]
    assert [v.item() for v in actual] == pytest.approx([mean, magnitude, *elements], rel=1e-5, abs=1.5e-6)
