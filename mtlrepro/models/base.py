"""What an architecture may ask of a backbone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

BRINGS = ("task_head", "task_widths")
"""What a backbone may have for who reads its maps; see `Backbone`."""


class Backbone(Protocol):
    """A module that turns an image (B, 3, H, W) into feature maps (B, channels[s], H/strides[s], W/strides[s]).

    Attributes:
        channels: width of every map, finest map first.
        strides: stride of every map, never decreasing.

    One may bring `task_head(widths, strides, outputs)`, which makes the heads of tasks on its maps
    (`mtlrepro.models.heads.task_head`), and `task_widths`, how many channels a task's own features have at every scale.
    Where pinned weights are of a part of it alone, that part is its `encoder`.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """The maps of an image, finest first."""


def pretrained_part(backbone: nn.Module) -> nn.Module:
    """What pinned weights of a backbone are of: its `encoder`, or all of it; whatever else there is starts as new."""
    encoder = getattr(backbone, "encoder", backbone)
    assert isinstance(encoder, nn.Module)
    return encoder
