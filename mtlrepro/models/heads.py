"""The decoder of HRNet: all scales resized to the finest, concatenated, two 1x1 convolutions (MTI-Net, A.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtlrepro.models.layers import concat_scales


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
