"""Photometric distortion on 8-bit images, as InvPT, ATRC and the 3D-aware regulariser train.

Brightness, contrast, saturation and hue, each with probability 0.5; every step ends in 8 bits, cut off, not rounded.
Saturation and hue are changed in OpenCV's 8-bit HSV: hue in half degrees, 0 to 179, the others 0 to 255.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from mtlrepro.data.draws import Draws

BRIGHTNESS = 32.0
"""Most that is added to, or taken from, all values."""

FACTORS = (0.5, 1.5)
"""Between which the factors of contrast and saturation are drawn, uniformly."""

HUES = range(-18, 18)
"""Shifts of the hue."""


def distort(image: Tensor, draws: Draws) -> Tensor:
    """An image with other colours.

    In order: brightness; contrast, if that is to come first; saturation; hue; contrast, if it is to come last. For
    each of the four, and for the place of the contrast, a number is drawn that decides; then, where it happens, its
    amount.

    Args:
        image: (3, H, W), uint8 or float32 in [0, 1]; it is not changed.
        draws: where the numbers come from.

    Returns:
        (3, H, W) uint8.
    """
    image = image if image.dtype == torch.uint8 else (image * 255).to(torch.uint8)
    if _heads(draws):
        image = _scaled(image, 1.0, BRIGHTNESS * (2 * draws.uniform() - 1))
    first = _heads(draws)
    if first:
        image = _contrast(image, draws)
    if _heads(draws):
        image = saturate(image, _factor(draws))
    if _heads(draws):
        image = shift_hue(image, draws.choice(HUES))
    return image if first else _contrast(image, draws)


def saturate(image: Tensor, factor: float) -> Tensor:
    """(3, H, W) uint8 with its saturation multiplied."""
    hue, saturation, value = to_hsv(image)
    return to_rgb(torch.stack([hue, _scaled(saturation, factor, 0.0), value]))


def shift_hue(image: Tensor, shift: int) -> Tensor:
    """(3, H, W) uint8 with its hue turned by `shift` times two degrees."""
    hue, saturation, value = to_hsv(image)
    return to_rgb(torch.stack([((hue.int() + shift) % 180).to(torch.uint8), saturation, value]))


def to_hsv(image: Tensor) -> Tensor:
    """(3, H, W) uint8 RGB to HSV, in the fixed-point arithmetic of OpenCV."""
    r, g, b = image.int()
    value = torch.maximum(torch.maximum(r, g), b)
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    by_value, by_chroma = _reciprocals(image.device)
    saturation = (chroma * by_value[value] + 2048) >> 12
    sixth = torch.where(value == r, g - b, torch.where(value == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = (sixth * by_chroma[chroma] + 2048) >> 12
    return torch.stack([torch.where(hue < 0, hue + 180, hue), saturation, value]).to(torch.uint8)


def to_rgb(hsv: Tensor) -> Tensor:
    """(3, H, W) uint8 HSV to RGB, in the single precision of OpenCV.

    Levels are cut off, as OpenCV does for every 32 pixels of a row; those left over at the end of a row it rounds.
    """
    h, s, v = hsv.float()
    h, s, v = h * (6.0 / 180.0), s * (1.0 / 255.0), v * (1.0 / 255.0)
    sector = h.floor()
    part = h - sector
    levels = torch.stack([v, v * (1 - s), v * (1 - s * part), v * (1 - s * (1 - part))])
    places = _sectors(hsv.device)[:, (sector.long() % 6)]
    return _eight_bits(levels.gather(0, places) * 255.0)


def _heads(draws: Draws) -> bool:
    return draws.uniform() < 0.5


def _factor(draws: Draws) -> float:
    return FACTORS[0] + (FACTORS[1] - FACTORS[0]) * draws.uniform()


def _contrast(image: Tensor, draws: Draws) -> Tensor:
    return _scaled(image, _factor(draws), 0.0) if _heads(draws) else image


def _scaled(values: Tensor, factor: float, offset: float) -> Tensor:
    """8-bit values times a factor plus an offset, cut off to 8 bits; product and sum are rounded by themselves."""
    return values.float().mul_(factor).add_(offset).clamp_(0, 255).to(torch.uint8)


def _eight_bits(levels: Tensor) -> Tensor:
    return levels.to(torch.uint8)


@functools.lru_cache(maxsize=8)
def _reciprocals(device: torch.device) -> tuple[Tensor, Tensor]:
    """255/v and 30/c for v, c = 0 … 255 (0 for 0), as multiples of 1/4096."""
    numbers = torch.arange(256, dtype=torch.float64).clamp_min(1)
    known = torch.arange(256) > 0
    tables = (torch.where(known, (top * 4096 / numbers).round(), 0.0).int() for top in (255, 30))
    by_value, by_chroma = (table.to(device) for table in tables)
    return by_value, by_chroma


@functools.lru_cache(maxsize=8)
def _sectors(device: torch.device) -> Tensor:
    """(3, 6) which of the four levels is red, green and blue in each sixth of the circle of hues."""
    return torch.tensor([[0, 2, 1, 1, 3, 0], [3, 0, 0, 2, 1, 1], [1, 1, 3, 0, 0, 2]], device=device)
