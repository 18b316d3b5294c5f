"""Formula weights and statistics, so that a network can be compared with published numbers without a checkpoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtlrepro.spec import ModelSpec, options


def formula_weights(module: nn.Module) -> nn.Module:
    """Fill every convolution and linear layer from its shape alone, and switch to evaluation mode.

    A weight of shape (o, i, k, k), k = 0 for linear layers, is RandomState(10000·o + 10·i + k).randn / √fan_in; a bias
    is b[j] = 0.05·cos(j). Names and order of the layers do not matter, equal shapes get equal weights.
    """
    drawn: dict[torch.Size, Tensor] = {}  # most shapes occur many times
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                shape = layer.weight.shape
                if shape not in drawn:
                    outputs, inputs = shape[:2]
                    stream = np.random.RandomState(10000 * outputs + 10 * inputs + (shape[2] if len(shape) == 4 else 0))
                    drawn[shape] = torch.from_numpy(stream.randn(*shape) / math.sqrt(layer.weight[0].numel())).float()
                layer.weight.copy_(drawn[shape])
                if layer.bias is not None:
                    layer.bias.copy_(0.05 * torch.cos(torch.arange(len(layer.bias), dtype=torch.float64)))
    return module.eval()


def randn(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Standard normal float32 tensors drawn in order from one legacy NumPy stream."""
    stream = np.random.RandomState(seed)
    return [torch.from_numpy(stream.randn(*shape).astype(np.float32)) for shape in shapes]


def image() -> Tensor:
    """The input (1, 3, 64, 96) of the whole-network vectors."""
    return torch.from_numpy(np.random.RandomState(20).rand(1, 3, 64, 96).astype(np.float32) - 0.5)


def assert_vector(actual: Tensor, mean: float, std: float, first: tuple[float, ...] = (), rel: float = 1e-4) -> None:
    """Mean, population standard deviation and first elements (B, C, H, W order) agree to a relative tolerance."""
    flat = actual.detach().double().flatten()
    found = [flat.mean().item(), flat.std(correction=0).item(), *flat[: len(first)].tolist()]
    assert found == pytest.approx([mean, std, *first], rel=rel, abs=1e-9)


def spec(arch: str, main: str, aux: str = "", backbone: str = "hrnet_nano", **values: Any) -> ModelSpec:
    """A model spec with blank-separated tasks."""
    return ModelSpec(arch, backbone, tuple(main.split()), tuple(aux.split()), options=options(**values))


NYUD = {"semseg": 40, "normals": 3, "edges": 1, "depth": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1, "normals": 3, "edges": 1}
