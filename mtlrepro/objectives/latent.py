"""What joint-task and pairwise latent objectives share: class maps with gradient, squashing, latent distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12
"""Length below which a latent vector has no direction."""


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """1 minus the cosine between the channel vectors at each position, averaged over positions: (B,) in [0, 2].

    A position where either vector vanishes has cosine 0 (JTR, eq. 4; MTPSL, eq. 2).

    Args:
        first: (B, C, h, w).
        second: the same shape.

    Example:
        >>> cosine_distance(torch.ones(1, 2, 1, 1), torch.tensor([[[[1.0]], [[0.0]]]])).round(decimals=4)
        tensor([0.2929])
    """
    cosine = (F.normalize(first, dim=1, eps=TINY) * F.normalize(second, dim=1, eps=TINY)).sum(1)
    return 1 - cosine.flatten(1).mean(1)


def normal_cdf(values: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Values of any range squashed into (0, 1) by the distribution function of a normal law.

    Example:
        >>> normal_cdf(torch.tensor([0.0, 2.3618]), 2.3618, 1.5876).round(decimals=4)
        tensor([0.0684, 0.5000])
    """
    return 0.5 * (1 + torch.erf((values - mean) / (std * math.sqrt(2))))


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Class ids (B, H, W) to (B, classes, H, W) of 0 and 1; ids that are no class (255, ignored) give all zeros.

    Example:
        >>> one_hot(torch.tensor([[[1, 255]]]), 2).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0]
    """
    ids = torch.arange(classes, device=labels.device).view(1, -1, 1, 1)
    return (labels[:, None] == ids).to(dtype)


def hard_gumbel(logits: Tensor) -> Tensor:
    """A class map drawn from logits (B, C, H, W): one-hot forwards, the gradient of the softmax backwards.

    Straight-through Gumbel-softmax at temperature 1 (Jang et al., ICLR 2017), noise from torch's generator.
    """
    soft = (logits + gumbel_noise(logits)).softmax(1)
    hard = one_hot(soft.argmax(1), logits.shape[1], soft.dtype)
    return hard - soft.detach() + soft


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise, finite, of a tensor's shape, dtype and device."""
    uniform = torch.rand_like(like).clamp_min_(torch.finfo(like.dtype).tiny)  # exponential_() takes twice as long
    return uniform.log_().neg_().log_().neg_()
