"""Single-head scaled dot-product attention (Vaswani et al., 2017), as written and without the matrix of all scores.

At 512x1024 pixels DenseMTL attends from 8,192 places to 8,192 places: 256 MiB of scores an image and pair of tasks.
`plain` keeps such matrices for the gradient. `lean` computes the same numbers for some rows at a time and computes them
again for the gradient, as PyTorch's fused kernels do. It stands in their place because on CUDA their gradients add in
no fixed order unless nondeterministic operators are errors, and because on CPUs they keep the whole matrix too where
channels come first in memory, as convolutions give them. `lean` is made of matrix products in a fixed order: the same
seed gives the same bits on any device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCORES = {"cpu": 2**21, "cuda": 2**25}
"""Scores that `lean` holds at a time, all images of the batch together: what a CPU's cache has room for (8 MiB in
float32), and products that are large enough to fill a GPU (128 MiB)."""


def plain(query: Tensor, key: Tensor, value: Tensor, *, scaled: bool = True) -> Tensor:
    """softmax(Q Kᵀ / √d) V, written out; the softmax is over the keys.

    Args:
        query: (B, N, d).
        key: (B, M, d).
        value: (B, M, c).
        scaled: whether scores are divided by √d.

    Returns:
        (B, N, c), every row a mean of the values.
    """
    return (_scaled(query, scaled) @ key.mT).softmax(dim=-1) @ value


def lean(query: Tensor, key: Tensor, value: Tensor, *, scaled: bool = True) -> Tensor:
    """The same as `plain`, gradients included, in memory that grows with N + M instead of N · M.

    It can be differentiated once.
    """
    # Without gradients there is no function of its own around the products, so that traces of the network show them.
    return (_Lean.apply if torch.is_grad_enabled() else _attend)(_scaled(query, scaled), key, value)


def _scaled(query: Tensor, scaled: bool) -> Tensor:
    return query * query.shape[-1] ** -0.5 if scaled else query


def _rows(key: Tensor) -> int:
    """Queries that are attended from at a time."""
    return max(1, SCORES.get(key.device.type, SCORES["cuda"]) // (key.shape[0] * key.shape[1]))


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    parts = query.split(_rows(key), dim=1)
    return torch.cat([(part @ key.mT).softmax(dim=-1) @ value for part in parts], dim=1)


class _Lean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = _attend(query, key, value)
        ctx.save_for_backward(query, key, value, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, result = ctx.saved_tensors
        rows = _rows(key)
        # With P the attention, the gradient of the scores is P ⊙ (dP − mean of dP under P); that mean is grad · result.
        mean = (grad * result).sum(dim=-1, keepdim=True)
        by_query, by_key, by_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for start in range(0, query.shape[1], rows):
            part = slice(start, start + rows)
            attention = (query[:, part] @ key.mT).softmax(dim=-1)
            by_value.baddbmm_(attention.mT, grad[:, part])
            by_scores = attention.mul_((grad[:, part] @ value.mT).sub_(mean[:, part]))
            by_query[:, part] = by_scores @ key
            by_key.baddbmm_(by_scores.mT, query[:, part])
        return by_query, by_key, by_value
