"""Photometric RandAugment: two random colour operations of low strength, as the public JTR implementation draws them.

RandAugment (Cubuk et al., 2020) without its geometric operations: two operations, each one of nine with equal
probability and one of the six lowest of its 31 strengths. The operations give what torchvision's give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from mtlrepro.data.draws import Draws

DRAWN = 2
"""Operations applied to an image, one after the other; the same one may be drawn twice."""

STEPS = range(6)
"""Indices of the strengths that are drawn, out of `BINS`."""

BINS = 31
"""Strengths into which RandAugment divides the range of an operation."""


T = TypeVar("T")

Colours = tuple[tuple[str, float], ...]
"""Operations on one image, in order: (key of `OPERATIONS`, value)."""


class Operation(NamedTuple):
    """One of the colour operations.

    Attributes:
        apply: (image, value) -> image, both float32 (3, H, W) in [0, 1].
        values: the value for each of `STEPS`.
        signed: whether the value's sign is drawn as well.
    """

    apply: Callable[[Tensor, float], Tensor]
    values: Sequence[float]
    signed: bool = False


def draw_colours(draws: Draws) -> Colours:
    """The operations of one image.

    For each: the operation is drawn, then the index of its value, then, for the signed ones, the sign.

    Args:
        draws: where the numbers come from.
    """
    drawn = []
    for _ in range(DRAWN):
        name = draws.choice(tuple(OPERATIONS))
        operation = OPERATIONS[name]
        value = operation.values[draws.choice(STEPS)]
        if operation.signed and draws.uniform() < 0.5:
            value = -value
        drawn.append((name, value))
    return tuple(drawn)


def recoloured(image: Tensor, colours: Colours) -> Tensor:
    """An image after some colour operations.

    Args:
        image: float32 (3, H, W) in [0, 1]; it is not changed.
        colours: the operations, in order.

    Returns:
        float32 (3, H, W) in [0, 1].
    """
    for name, value in colours:
        image = OPERATIONS[name].apply(image, value)
    return image


def randaugment(image: Tensor, draws: Draws) -> Tensor:
    """An image float32 (3, H, W) in [0, 1] after two random colour operations (`draw_colours`, `recoloured`)."""
    return recoloured(image, draw_colours(draws))


def sharpened(image: Tensor, ratio: float | Tensor) -> Tensor:
    """Away from (or towards) the image smoothed with [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13; the border stays.

    torchvision's is a convolution by channel, which takes thirty times as long on a CPU.

    Args:
        image: float32 (..., 3, H, W) in [0, 1].
        ratio: of the image; the smoothed one has the rest. A number, or one for each of some images, (B, 1, 1, 1).
    """
    rows = (image[..., :-2, :] + image[..., 1:-1, :]).add_(image[..., 2:, :])
    smooth = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:])
    centre = image[..., 1:-1, 1:-1]
    smooth.add_(centre, alpha=4).div_(13)
    out = image.clone()
    out[..., 1:-1, 1:-1] = torch.lerp(smooth, centre, ratio).clamp_(0, 1)
    return out


def in_bytes(change: Callable[[Tensor, T], Tensor]) -> Callable[[Tensor, T], Tensor]:
    """An operation on 8-bit images for float ones, whose values are cut off, not rounded, to 8 bits."""

    def apply(image: Tensor, value: T) -> Tensor:
        return change((image * 255).to(torch.uint8), value).to(torch.float32).div_(255)

    return apply


_NONE = (0.0,) * len(STEPS)
_CHANGES = tuple(0.9 * k / (BINS - 1) for k in STEPS)
_BITS = tuple(8 - round(4 * k / (BINS - 1)) for k in STEPS)
_THRESHOLDS = tuple(255 * (1 - k / (BINS - 1)) for k in STEPS)

OPERATIONS = {
    "identity": Operation(lambda image, _: image, _NONE),
    "brightness": Operation(lambda image, value: V.adjust_brightness(image, 1 + value), _CHANGES, signed=True),
    "color": Operation(lambda image, value: V.adjust_saturation(image, 1 + value), _CHANGES, signed=True),
    "contrast": Operation(lambda image, value: V.adjust_contrast(image, 1 + value), _CHANGES, signed=True),
    "sharpness": Operation(lambda image, value: sharpened(image, 1 + value), _CHANGES, signed=True),
    "posterize": Operation(in_bytes(lambda image, bits: V.posterize(image, int(bits))), _BITS),
    "solarize": Operation(in_bytes(V.solarize), _THRESHOLDS),
    "autocontrast": Operation(lambda image, _: V.autocontrast(image), _NONE),
    "equalize": Operation(in_bytes(lambda image, _: V.equalize(image)), _NONE),
}
"""The nine operations in the order of torchvision's `RandAugment`, each drawn with equal probability."""
