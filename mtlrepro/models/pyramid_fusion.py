"""The feature fusion of MT-CP (Fontana et al., WACV 2025, section 3.2, figure 2): a feature pyramid's finest map.

The paper calls it PFF and DFPN and speaks of weights that adapt; in the public reference implementation it is a plain
feature pyramid network (Lin et al., CVPR 2017) of which the finest map is used. One with all maps is a backbone
(`mtlrepro.models.fpn`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class PyramidFusion(nn.Module):
    """Maps of several scales to one: a 1x1 convolution each, sums from the coarsest to the finest, a 3x3 convolution.

    There is no norm and no activation; all convolutions have a bias.

    Args:
        widths: channels of the maps, finest first.
        channels: channels of the result.
    """

    def __init__(self, widths: Sequence[int], channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, channels, h, w) at the size of the first map; a coarser sum takes the finer map's size by repetition."""
        first, *finer = [layer(m) for layer, m in zip(self.lateral, maps, strict=True)][::-1]
        for one in finer:
            first = one + F.interpolate(first, size=one.shape[-2:], mode="nearest")
        return self.smooth(first)
