"""Raw predictions and batch targets behind the published figures of InvPT's and ATRC's losses and metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from torch import Tensor

SIZE = (8, 10)
CHECK_SUMS = {
    "semseg": (-58.82521, 5873),
    "depth": (339.29578, 8045.483),
    "normals": (21.19355, 25985.211),
    "edges": (2.68821, 4871),
    "saliency": (-2.63565, 4391),
    "parts": (19.45456, 20645),
}
"""Sums of predictions and of labels where invalid pixels hold 255."""


def invpt_maps() -> dict[str, tuple[Tensor, Tensor]]:
    """Task -> (raw prediction, target): two samples of 8×10, float32; saliency has two logits."""
    r = RandomState(0)
    one = (2, 1, *SIZE)

    def hidden(label: np.ndarray, share: float) -> np.ndarray:
        return np.where(r.rand(*one) < share, 255, label)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    drawn = {  # in this order, prediction before label before mask
        "semseg": (r.randn(2, 5, *SIZE), hidden(r.randint(0, 5, one), 0.15)),
        "depth": (r.randn(*one) + 2, hidden(r.rand(*one) * 5 + 0.5, 0.2)),
        "normals": (r.randn(2, 3, *SIZE), hidden(unit(r.randn(2, 3, *SIZE)), 0.2)),
        "edges": (r.randn(*one), hidden(r.rand(*one) < 0.2, 0.1)),
        "saliency": (r.randn(2, 2, *SIZE), hidden(r.rand(*one) < 0.35, 0.1)),
        "parts": (r.randn(2, 7, *SIZE), r.randint(0, 7, one)),
    }
    drawn["parts"][1][1] = 255
    return {name: (torch.from_numpy(p).float(), _target(name, p, label)) for name, (p, label) in drawn.items()}


def _target(name: str, prediction: np.ndarray, label: np.ndarray) -> Tensor:
    """A batch target, whose invalid pixels are 0 for depth and normals."""
    assert (prediction.sum(), label.sum()) == pytest.approx(CHECK_SUMS[name], abs=6e-4)
    if name in ("semseg", "parts"):
        return torch.from_numpy(label[:, 0]).long()
    return torch.from_numpy(np.where(label == 255, 0 if name in ("depth", "normals") else 255, label)).float()
