"""Heads of tasks on the maps of several scales (MTI-Net, A.2): that of HRNet, or the backbone's own.

HRNet's resizes all scales to the finest, concatenates them and has two 1x1 convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtlrepro.models.base import Backbone
from mtlrepro.models.layers import concat_scales


def task_head(backbone: Backbone, outputs: int, widths: Sequence[int] = (), scales: Sequence[int] = ()) -> nn.Module:
    """The head with which a backbone's maps are decoded: the one that it brings (`task_head`), else HRNet's.

    Args:
        backbone: whose maps, or what was made of them, the head is going to read.
        outputs: channels of the prediction.
        widths: channels of what it reads, by default those of the backbone's maps.
        scales: indices of the backbone's maps that it reads, finest first; by default all.

    Returns:
        A module from a list of maps (B, widths[i], h_i, w_i) to (B, outputs, h_0, w_0).
    """
    scales = scales or range(len(backbone.channels))
    widths = widths or [backbone.channels[s] for s in scales]
    own = getattr(backbone, "task_head", None)
    return own(widths, [backbone.strides[s] for s in scales], outputs) if own else HRNetHead(widths, outputs)


class HRNetFuse(nn.Module):
    """Joins the maps of several scales into one: concatenation, 1x1 convolution with bias, batch norm, ReLU.

    Args:
        widths: channels of the maps, finest first.

    Attributes:
        channels: width of the result, the sum of `widths`.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.channels = sum(widths)
        self.mix = nn.Sequential(nn.Conv2d(self.channels, self.channels, 1), nn.BatchNorm2d(self.channels), nn.ReLU())

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(B, channels, h, w) at the size of the first map."""
        return self.mix(concat_scales(maps))


class HRNetHead(nn.Module):
    """A task's decoder: `HRNetFuse`, then a 1x1 convolution with bias to the task's channels, at the finest scale.

    Args:
        widths: channels of the maps, finest first.
        outputs: channels of the prediction.
    """

    def __init__(self, widths: Sequence[int], outputs: int):
        super().__init__()
        self.fuse = HRNetFuse(widths)
        self.predict = nn.Conv2d(self.fuse.channels, outputs, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(B, outputs, h, w) at the size of the first map, without activation."""
        return self.predict(self.fuse(maps))
