"""Modules filled in a listed order from one legacy NumPy stream, and the figures that public code gave for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor


class Stream:
    """Standard normal draws of one seed: parameters scaled, inputs as they are.

    Args:
        seed: of the stream.
        scale: what parameters are multiplied with.
    """

    def __init__(self, seed: int, scale: float):
        self.draws, self.scale = np.random.RandomState(seed), scale

    def fill(self, *parameters: Tensor) -> None:
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(torch.from_numpy(self.draws.standard_normal(tuple(parameter.shape)) * self.scale))

    def normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.draws.standard_normal(shape)).float()


def assert_sums(found: Tensor, total: float, absolute: float, squares: float, first: list[float], last: float) -> None:
    """Sum, sum of absolute values, sum of squares, the first three elements (row-major) and the last one."""
    flat = found.detach().double().flatten()
    assert flat.abs().sum().item() == pytest.approx(absolute, rel=1e-5)
    assert flat.square().sum().item() == pytest.approx(squares, rel=1e-5)
    assert flat.sum().item() == pytest.approx(total, abs=1e-6 * absolute)
    assert [*flat[:3].tolist(), flat[-1].item()] == pytest.approx([*first, last], abs=1e-5)
