"""What an architecture may ask of a backbone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Backbone(Protocol):
    """A module that turns an image (B, 3, H, W) into feature maps (B, channels[s], H/strides[s], W/strides[s]).

    Attributes:
        channels: width of every map, finest map first.
        strides: stride of every map, never decreasing.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """The maps of an image, finest first."""
