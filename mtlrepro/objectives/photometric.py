"""The photometric loss of self-supervised depth (Godard et al., ICCV 2019, section 3), as DenseMTL has it.

A depth map is good where other frames, warped by it, look like this one. What cannot be seen in one of them may be
seen in another, so the smaller error counts. What looks the same without any warping tells nothing of depth, because
it moves as the camera does or has no texture, and is masked. Constants are those of the public reference
implementation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SSIM_SHARE = 0.85
"""Weight of the structural term; the absolute difference has the rest."""

C1, C2 = 0.01**2, 0.03**2
"""Constants of SSIM for values in [0, 1] (Wang et al., 2004)."""

NOISE = 1e-5
"""Standard deviation of what is added to the errors of frames that are not warped."""

EPSILON = 1e-7
"""Added to a mean disparity before it divides."""


def structural_error(first: Tensor, second: Tensor) -> Tensor:
    """(1 - SSIM) / 2 over 3×3 windows, clamped to [0, 1], of each channel; 0 where two pictures agree.

    The border is padded by reflection.

    Args:
        first: (B, C, H, W) in [0, 1], H and W at least 2.
        second: the same shape.

    Returns:
        (B, C, H, W).
    """
    a, b = window_means(first), window_means(second)
    both, squares = a * b, a * a + b * b
    covariance = window_means(first * second) - both
    variances = window_means(first * first + second * second) - squares
    similarity = (2 * both + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return ((1 - similarity) / 2).clamp(0, 1)


def window_means(image: Tensor) -> Tensor:
    """Means over the 3×3 windows around all pixels of (..., H, W), the border padded by reflection; H and W at least 2.

    Example:
        >>> window_means(torch.tensor([[0.0, 9.0], [0.0, 0.0]])).tolist()
        [[2.0, 1.0], [4.0, 2.0]]
    """
    return _WindowMeans.apply(image)


def photometric_error(prediction: Tensor, target: Tensor) -> Tensor:
    """0.85 of the structural error and 0.15 of the absolute difference, means over the channels.

    Args:
        prediction: (B, 3, H, W) a frame, warped or not, in [0, 1].
        target: (B, 3, H, W) this frame.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    structure = structural_error(prediction, target).mean(1, keepdim=True)
    difference = (target - prediction).abs().mean(1, keepdim=True)
    return SSIM_SHARE * structure + (1 - SSIM_SHARE) * difference


def still_errors(frames: Tensor, target: Tensor) -> Tensor:
    """Photometric errors of the other frames as they are.

    Args:
        frames: (B, K, 3, H, W) in [0, 1].
        target: (B, 3, H, W).

    Returns:
        (B, K, H, W).
    """
    return torch.cat([photometric_error(frame, target) for frame in frames.unbind(1)], 1)


def without_ties(errors: Tensor) -> Tensor:
    """Errors with a little noise.

    It is drawn from torch's generator on the CPU, so that every device has the same.
    """
    noise = torch.randn(errors.shape, dtype=torch.float32).to(errors.device, errors.dtype, non_blocking=True)
    return errors + NOISE * noise


def least_error(warped: Tensor, still: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over pixels of the least error, and the share of pixels whose least error is that of a warped frame.

    Args:
        warped: (B, K, H, W) photometric errors of warped frames.
        still: (B, K', H, W) of the same frames as they are, `without_ties`; these pixels have no gradient.

    Returns:
        Two scalars; the second has no gradient.
    """
    moved, stands = warped.amin(1), still.amin(1)
    return torch.minimum(moved, stands).mean(), (moved < stands).to(warped.dtype).mean()


def smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Mean slope of disparity, less where the picture has edges too.

    Disparity is first divided by its mean over each picture, so that shrinking it everywhere does not pay.

    Args:
        disparity: (B, 1, H, W), above 0, H and W at least 2.
        image: (B, 3, H, W) in [0, 1].

    Returns:
        The mean of |∂ₓd| e^(-|∂ₓI|) plus that along y, a scalar.
    """
    level = disparity / (disparity.mean((2, 3), keepdim=True) + EPSILON)
    return _slope(level, image, -1) + _slope(level, image, -2)


def _slope(level: Tensor, image: Tensor, dim: int) -> Tensor:
    edges = image.diff(dim=dim).abs().mean(1, keepdim=True)
    return (level.diff(dim=dim).abs() * torch.exp(-edges)).mean()


class _WindowMeans(torch.autograd.Function):
    """`window_means` by sums of slices, forwards and backwards.

    PyTorch's pooling after padding by reflection gives the same, and its gradients are deterministic on a GPU, too, but
    it takes many times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        rows = _sums_of_three(image, -2)
        rows[..., 0, :] += image[..., 1, :]
        rows[..., -1, :] += image[..., -2, :]
        sums = _sums_of_three(rows, -1)
        sums[..., 0] += rows[..., 1]
        sums[..., -1] += rows[..., -2]
        return sums.div_(9)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows = _sums_of_three(gradient, -2)
        rows[..., 1, :] += gradient[..., 0, :]
        rows[..., -2, :] += gradient[..., -1, :]
        sums = _sums_of_three(rows, -1)
        sums[..., 1] += rows[..., 0]
        sums[..., -2] += rows[..., -1]
        return sums.div_(9)


def _sums_of_three(values: Tensor, dim: int) -> Tensor:
    """Of each element and its neighbours along an axis; beyond the ends there is nothing."""
    sums, rest = values.clone(), values.shape[dim] - 1
    sums.narrow(dim, 1, rest).add_(values.narrow(dim, 0, rest))
    sums.narrow(dim, 0, rest).add_(values.narrow(dim, 1, rest))
    return sums
