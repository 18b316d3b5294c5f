"""Hierarchical feature processing of MT-CP (Fontana et al., WACV 2025, section 3.2): a small Swin transformer a task.

Blocks and patch merging are torchvision's, which compute what the public reference implementation of MT-CP computes.
The paper's patches are not embedded there either: the first stage reads the shared map as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging, SwinTransformerBlock

from mtlrepro.errors import SpecError

WINDOW = 7
"""Side of an attention window in pixels of a map."""


def _block(width: int, heads: int, shift: int) -> SwinTransformerBlock:
    """A block without dropout and stochastic depth; every layer has PyTorch's own initialisation, as published."""
    block = SwinTransformerBlock(width, heads, [WINDOW, WINDOW], [shift, shift])
    for layer in block.mlp.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()  # torchvision draws these two from other distributions
    return block


class FeatureTransformer(nn.Module):
    """Stages of Swin blocks with patch merging between them, and a layer norm of each stage's result.

    A block attends within windows of 7x7 pixels, in every second block of a stage within windows shifted by three. A
    map is padded with zeros to whole windows, and padding takes part in the attention. There is no dropout, no
    stochastic depth and no position but the learned bias of two pixels' relative position, which starts from a
    truncated normal distribution of standard deviation 0.02. Patch merging reads what has not been normalised.

    Along a side of a map that is not longer than one window, torchvision does not shift; the public reference
    implementation does, and masks. The maps of the published image sizes are longer.

    Args:
        channels: width C of the map that comes in; each stage after the first is twice as wide as the one before.
        depths: number of blocks of every stage.
        heads: number of attention heads of every stage.

    Attributes:
        widths: channels of the maps that come out.

    Raises:
        SpecError: for a width that the heads cannot share.
    """

    def __init__(self, channels: int, depths: Sequence[int] = (1, 2, 1), heads: Sequence[int] = (2, 2, 2)):
        super().__init__()
        self.widths = tuple(channels * 2**stage for stage in range(len(depths)))
        for width, count in zip(self.widths, heads, strict=True):
            if width % count:
                mend = f"Name a backbone whose first map has a multiple of {count} channels"
                raise SpecError(f"{count} heads cannot share {width} channels", field="model.backbone", mend=mend)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_block(width, count, WINDOW // 2 * (place % 2)) for place in range(depth)))
            for width, depth, count in zip(self.widths, depths, heads, strict=True)
        )
        self.merge = nn.ModuleList(PatchMerging(width) for width in self.widths[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in self.widths)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Maps of several scales from one of (B, C, h, w).

        Returns:
            One map (B, C · 2^s, ⌈h / 2^s⌉, ⌈w / 2^s⌉) for each stage s, finest first.
        """
        pixels = features.permute(0, 2, 3, 1).contiguous()
        maps = []
        for stage, (blocks, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            pixels = blocks(self.merge[stage - 1](pixels) if stage else pixels)
            maps.append(norm(pixels).permute(0, 3, 1, 2).contiguous())
        return maps
