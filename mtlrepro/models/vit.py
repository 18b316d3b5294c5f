"""Vision transformers (Dosovitskiy et al., ICLR 2021) as InvPT (ECCV 2022) reads them: timm's network, tapped.

All maps have the stride of the patches: the raw residual stream after three of the blocks, and the last one after the
final layer norm; class tokens are cut off. Positions are learned for one grid of patches, so that a network takes
images of the one size that it was built for. Pretrained positions are resized to that grid as timm 0.5.4 did, bicubic
without antialiasing; with it, timm's habit since 0.9, random positions would come out 8 % different.

InvPT's public code has ViT-L; its authors report ViT-B without saying what is tapped: quarters of its depth here, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

HEAD = "head."
"""Prefix of timm's names for the classification head."""

POSITIONS = "pos_embed"


@dataclass(frozen=True)
class ViTConfig:
    """One vision transformer, as data.

    Attributes:
        width: channels of a token.
        heads: of the attention.
        taps: numbers of blocks (1 is the first) after which maps are taken, the last block among them.
        parameters: number of learnable parameters without the positions, whose number depends on the image's size.
        patch: side of a patch in pixels.
        drop_path: stochastic depth: the rate of the last block, rising linearly from 0 at the first.
        weights: pinned timm tags whose weights fit, none for a network that nobody pretrained.
    """

    width: int
    heads: int
    taps: tuple[int, ...]
    parameters: int
    patch: int = 16
    drop_path: float = 0.15
    weights: tuple[str, ...] = ()

    def build(self, *, size: tuple[int, int] | None = None) -> ViT:
        """The network for images of `size` (height, width), randomly initialised (truncated normal, as timm does).

        Raises:
            SpecError: without a size, or for one that is not of whole patches.
        """
        if size is None:
            mend = "Give build_model the size of the images, or choose a convolutional backbone"
            raise SpecError("its learned positions are those of one image size", field="model.backbone", mend=mend)
        if size[0] % self.patch or size[1] % self.patch:
            mend = f"Choose multiples of {self.patch}"
            raise SpecError(f"cannot take an image of {size[0]}x{size[1]} pixels", field="data.size", mend=mend)
        return ViT(self, size)


VIT_L16 = ViTConfig(
    width=1024,
    heads=16,
    taps=(6, 12, 18, 24),
    parameters=303_099_904,
    weights=("vit_large_patch16_384.augreg_in21k_ft_in1k",),
)

VIT_B16 = ViTConfig(
    width=768,
    heads=12,
    taps=(3, 6, 9, 12),
    parameters=85_647_360,
    weights=("vit_base_patch16_384.augreg_in21k_ft_in1k",),
)

# Same class, shrunk by configuration alone, for smoke runs on a CPU.
VIT_NANO = ViTConfig(width=96, heads=3, taps=(1, 2, 3, 4), parameters=466_176, patch=8, drop_path=0.0)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Learned positions for another grid of patches: bicubic, half-pixel centres, no antialiasing.

    Args:
        positions: (1, 1 + n², C), the class token's first, then those of a square grid, row by row.
        grid: (rows, columns) to resize to.

    Returns:
        (1, 1 + rows · columns, C); the class token's stays as it is.
    """
    token, patches = positions[:, :1], positions[:, 1:]
    side = math.isqrt(patches.shape[1])
    maps = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=grid, mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([token, maps.flatten(2).mT], dim=1)


def _square(count: int) -> bool:
    return count > 0 and math.isqrt(count) ** 2 == count


class ViT(VisionTransformer):
    """A vision transformer that returns its residual stream after some blocks, as maps.

    Args:
        config: what to build.
        size: (height, width) of the images.

    Attributes:
        channels: `config.width` for every map.
        strides: `config.patch` for every map.
        size: as given.
        grid: (rows, columns) of the patches.
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if the network that timm builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: ViTConfig, size: tuple[int, int]):
        super().__init__(
            img_size=size,
            patch_size=config.patch,
            num_classes=0,
            embed_dim=config.width,
            depth=config.taps[-1],
            num_heads=config.heads,
            drop_path_rate=config.drop_path,
        )
        self.taps = config.taps
        self.channels = (config.width,) * len(config.taps)
        self.strides = (config.patch,) * len(config.taps)
        self.size = tuple(size)
        self.grid = size[0] // config.patch, size[1] // config.patch
        for block in self.blocks:
            # On CUDA the fused kernels of scaled_dot_product_attention add up float32 gradients in no fixed order.
            # Matrix products and a softmax repeat themselves bit by bit, for 65 MB of scores a block of ViT-L and image
            # of 448x576 pixels.
            block.attn.fused_attn = False  # type: ignore[union-attr]
        count = sum(p.numel() for name, p in self.named_parameters() if name != POSITIONS)
        if count != config.parameters:
            raise SpecError(
                f"timm's ViT of {config.taps[-1]} blocks has {count:,} parameters, expected {config.parameters:,}",
                mend="This timm builds another network; install the version that a stored run's env.json names",
            )

    def forward(self, image: Tensor) -> list[Tensor]:  # type: ignore[override]
        """Feature maps of an image (B, 3, H, W).

        Returns:
            One map (B, channels[s], *grid) for each tap; the last one is normalised.

        Raises:
            SpecError: if (H, W) is not the size that the network was built for.
        """
        if image.shape[-2:] != self.size:
            height, width = image.shape[-2:]
            problem = f"cannot take an image of {height}x{width} pixels, its positions are those of"
            mend = "Give all images the size that the network is built for"
            raise SpecError(f"{problem} {self.size[0]}x{self.size[1]}", field="data.size", mend=mend)
        tokens, maps = self.forward_intermediates(image, indices=[tap - 1 for tap in self.taps[:-1]])
        assert isinstance(tokens, Tensor)
        return [*maps, tokens[:, self.num_prefix_tokens :].mT.unflatten(2, self.grid).contiguous()]

    def adapt(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors as this network has them: without the classification head, positions at its grid."""
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD)}
        positions = kept.get(POSITIONS)
        # Of any other shape they stay as they are, and are refused where all shapes are compared.
        if positions is not None and positions.ndim == 3 and _square(positions.shape[1] - 1):
            kept[POSITIONS] = resize_positions(positions.float(), self.grid)
        return kept
