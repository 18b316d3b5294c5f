"""Volume rendering along rays (3D-aware regularizer, ICLR 2024, section 3.2; Max, 1995): samples, weights, sums.

A ray crosses the box from z = -1 to z = 1 with N samples z_k. With the density σ_k and the step δ_k of a sample,
a_k = 1 - exp(-σ_k δ_k) of what comes through from behind ends there, T_k = Π_{l<k} (1 - a_l) of it is still there, and
w_k = a_k T_k weighs the sample's value. There is no background, and the weights are not normalised. The paper leaves
samples and steps open; here they follow NeRF and EG3D.

Sums along a ray are products with a triangular matrix: `cumsum` has no deterministic kernel on CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtlrepro.errors import unknown

LAST = ("finite", "opaque")
"""What is behind the last sample: nothing, or whatever still comes through ends there (NeRF's infinite last step)."""
FLOOR = 1e-2
"""What EG3D adds to the smoothed weights, so that the second pass looks everywhere."""
EPS = 1e-5
"""What EG3D adds to weights so that no density vanishes everywhere, and the share below which a bin has no width."""


def midpoints(samples: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Centres of `samples` equal intervals of [-1, 1]: (samples,)."""
    return (2 * torch.arange(samples, dtype=dtype, device=device) + 1) / samples - 1


def stratified(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """One uniform draw in each of shape[-1] equal intervals of [-1, 1], from PyTorch's global generator.

    Returns:
        (*shape), ascending along the last dimension.
    """
    samples = shape[-1]
    draws = torch.rand(shape, dtype=dtype, device=device)
    return (torch.arange(samples, dtype=dtype, device=device) + draws) * (2 / samples) - 1


def compositing_weights(sigma: Tensor, delta: Tensor | float, last: str = "finite") -> Tensor:
    """Weights w_k of the samples of rays.

    Args:
        sigma: (..., N) densities, 0 or more.
        delta: (..., N) steps, or one for all.
        last: one of `LAST`.

    Returns:
        (..., N), each 0 or more; their sum 1 - Π (1 - a_k) is 1 at most.

    Raises:
        SpecError: for an unknown `last`.
    """
    if last not in LAST:
        raise unknown("last interval", str(last), LAST, field="objective.options.last")
    thickness = sigma * delta
    samples = sigma.shape[-1]
    before = thickness @ torch.ones(samples, samples, dtype=sigma.dtype, device=sigma.device).triu(1)
    ending = -torch.expm1(-thickness)
    if last == "opaque":
        ending = torch.cat((ending[..., :-1], torch.ones_like(ending[..., -1:])), dim=-1)
    return ending * torch.exp(-before)


def steps(depths: Tensor) -> Tensor:
    """Distances of ascending samples (..., N) in [-1, 1] to the next one, of the last one to the box's face."""
    return torch.cat((depths.diff(dim=-1), 1 - depths[..., -1:]), dim=-1)


def inverse_cdf(edges: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Positions at quantiles of a density that is constant between edges (NeRF, section 5.2; constants of EG3D).

    Args:
        edges: (..., M + 1), ascending.
        weights: (..., M), 0 or more.
        draws: (..., n) in [0, 1].

    Returns:
        (..., n), between the first and the last edge.
    """
    weights = weights + EPS
    bins = weights.shape[-1]
    share = weights / weights.sum(dim=-1, keepdim=True)
    below = share @ torch.ones(bins, bins + 1, dtype=share.dtype, device=share.device).triu(1)
    above = torch.searchsorted(below, draws.contiguous(), right=True)
    low, high = (above - 1).clamp(min=0), above.clamp(max=bins)
    width = below.gather(-1, high) - below.gather(-1, low)
    part = (draws - below.gather(-1, low)) / torch.where(width < EPS, 1, width)
    start = edges.gather(-1, low)
    return start + part * (edges.gather(-1, high) - start)


def refined(depths: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Samples of a first pass and as many more as there are draws, where the first pass found weight (EG3D).

    Args:
        depths: (..., N) samples of the first pass, ascending, N at least 3.
        weights: (..., N) their compositing weights.
        draws: (..., n) in [0, 1].

    Returns:
        (..., N + n), ascending, without gradient.
    """
    with torch.no_grad():
        beside = torch.maximum(weights[..., :-1], weights[..., 1:])
        smooth = (beside[..., :-1] + beside[..., 1:]) / 2 + FLOOR
        more = inverse_cdf((depths[..., :-1] + depths[..., 1:]) / 2, smooth, draws)
        return torch.cat((depths, more), dim=-1).sort(dim=-1).values
