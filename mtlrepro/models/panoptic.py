"""The head of panoptic feature pyramids (Kirillov et al., CVPR 2019), with which MTI-Net decodes FPN backbones (A.2).

MTI-Net names it and describes it no further: widths, normalisation and interpolation are those of its own paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

WIDTH, GROUPS = 128, 32
"""Channels of the levels where they are summed, and groups of their norms."""


class PanopticHead(nn.Module):
    """Every level goes to the finest by blocks of a 3x3 convolution, group norm, ReLU and a doubling of its size.

    A level of twice the finest stride takes one block, one of four times two, and so on; the finest takes one that
    keeps its size. The results are summed and a 1x1 convolution with bias predicts.

    Args:
        widths: channels of the levels, finest first.
        strides: of the levels, each a power of two times the first.
        outputs: channels of the prediction.
        width: channels of every block.
        groups: of their group norms.
    """

    def __init__(
        self, widths: Sequence[int], strides: Sequence[int], outputs: int, width: int = WIDTH, groups: int = GROUPS
    ):
        super().__init__()
        self.levels = nn.ModuleList()
        for channels, stride in zip(widths, strides, strict=True):
            doublings = round(math.log2(stride / strides[0]))
            inputs = [channels, *[width] * max(0, doublings - 1)]
            self.levels.append(nn.Sequential(*(_block(c, width, groups, doublings > 0) for c in inputs)))
        self.predict = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, outputs, h, w) at the size of the first map, without activation."""
        first, *others = [level(m) for level, m in zip(self.levels, maps, strict=True)]
        return self.predict(sum(others, first))


def _block(inputs: int, width: int, groups: int, double: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.GroupNorm(groups, width), nn.ReLU()]
    return nn.Sequential(*layers, *[nn.Upsample(scale_factor=2, mode="bilinear")] * double)
