"""SegNet (Badrinarayanan et al., PAMI 2017) as JTR (CVPR 2024) uses it: one trunk, one small head a task.

Five stages of 3x3 convolutions (with bias), batch norm and ReLU, each ended by a 2x2 max-pooling that remembers where
the maximum was; a mirrored decoder puts values back there. There are no skip connections. Sizes, initialisation and the
head (a 3x3 and a 1x1 convolution without activation between them) are those of the public reference implementation,
whose left-over heads and parameters without gradient are left out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

STRIDES = (2, 4, 8, 16, 32)
WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of every stage, of the encoder and of the decoder stage that mirrors it."""


@dataclass(frozen=True)
class SegNetConfig:
    """One SegNet encoder, as data.

    Attributes:
        widths: channels of the five stages.
        weights: pinned tags whose weights fit; nobody pretrained this encoder.
    """

    widths: tuple[int, ...] = WIDTHS
    weights: tuple[str, ...] = ()

    @property
    def stem(self) -> int:
        """Channels of the first convolution's output."""
        return self.widths[0]

    def build(self, inputs: int = 3, *, size: tuple[int, int] | None = None) -> SegNetEncoder:
        """The encoder for maps of `inputs` channels and any `size`, randomly initialised (Xavier normal)."""
        return SegNetEncoder(inputs, self.widths)


SEGNET = SegNetConfig()

# Same class, shrunk by configuration alone, for smoke runs on a CPU.
SEGNET_NANO = SegNetConfig(widths=(8, 12, 16, 24, 32))


def stage_widths(features: Sequence[int]) -> tuple[int, ...]:
    """Widths of a SegNet-like auxiliary network beside a model: its encoder's where that has as many stages.

    Elsewhere SegNet's own, narrowed so that the last is as wide as the model's last encoder map if that is narrower.

    Args:
        features: widths of the model's encoder maps, finest first; empty for SegNet's own.

    Example:
        >>> stage_widths((8, 16, 32, 64)), stage_widths((256, 512, 1024, 2048))
        ((8, 16, 32, 64, 64), (64, 128, 256, 512, 512))
    """
    if len(features) == len(WIDTHS):
        return tuple(features)
    last = min(features[-1], WIDTHS[-1]) if features else WIDTHS[-1]
    return tuple(max(1, width * last // WIDTHS[-1]) for width in WIDTHS)


def xavier(module: nn.Module) -> None:
    """Draw every convolution of a module anew: weights Xavier normal (gain 1), biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def conv_stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    """`depth` times 3x3 convolution with bias, batch norm and ReLU; the first one changes the number of channels."""
    layers: list[nn.Module] = []
    for width in (inputs, *[outputs] * (depth - 1)):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def unpool(maps: Tensor, indices: Tensor) -> Tensor:
    """Undo a 2x2 max-pooling of stride 2: every value goes back to where it came from, zeros elsewhere.

    The same result as `torch.nn.functional.max_unpool2d`, which has no deterministic kernel on a GPU.

    Args:
        maps: (B, C, h, w).
        indices: (B, C, h, w) int64, places in the flattened map of 2h x 2w, as `max_pool2d` returns them.

    Returns:
        (B, C, 2h, 2w).
    """
    batch, channels, height, width = maps.shape
    place = indices // (2 * width) % 2 * 2 + indices % 2  # in the window: 0 and 1 above, 2 and 3 below
    window = torch.arange(4, device=maps.device).view(2, 1, 2)
    chosen = place[:, :, :, None, :, None] == window
    spread = torch.where(chosen, maps[:, :, :, None, :, None], 0.0)
    return spread.reshape(batch, channels, 2 * height, 2 * width)


class SegNetEncoder(nn.Module):
    """The five stages of the encoder, each ended by its pooling.

    Args:
        inputs: channels of the input.
        widths: channels of the five stages.

    Attributes:
        channels: `widths`.
        strides: (2, 4, 8, 16, 32).
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if `widths` are not five positive numbers.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS):
        super().__init__()
        if len(widths) != len(DEPTHS) or min(widths) < 1:
            mend = "Give one positive number for each of the five stages"
            raise SpecError(f"no SegNet has stages of {tuple(widths)} channels", field="widths", mend=mend)
        self.channels, self.strides = tuple(widths), STRIDES
        steps = zip(pairwise((inputs, *widths)), DEPTHS, strict=True)
        self.stages = nn.ModuleList(conv_stage(before, after, depth) for (before, after), depth in steps)
        xavier(self)

    def encode(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Feature maps of an input (B, inputs, H, W), and where each of their values was before pooling.

        Returns:
            Five maps (B, channels[s], H / strides[s], W / strides[s]), finest first, the last one the bottleneck; and
            for each map the indices (int64, of its shape) that `unpool` takes.

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        height, width = image.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            mend = f"Choose multiples of {STRIDES[-1]}"
            raise SpecError(f"cannot take an image of {height}x{width} pixels", field="data.size", mend=mend)
        maps, indices = [], []
        for stage in self.stages:
            image, places = F.max_pool2d(stage(image), 2, return_indices=True)
            maps.append(image)
            indices.append(places)
        return maps, indices

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps of `encode` alone."""
        return self.encode(image)[0]


class SegNetDecoder(nn.Module):
    """The mirrored stages: unpooling, then as many convolutions as the encoder's stage has.

    Args:
        widths: channels of the encoder's stages, finest first.

    Attributes:
        channels: width of the result, that of the finest stage.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.channels = widths[0]
        steps = zip(pairwise((widths[0], *widths)), DEPTHS, strict=True)
        self.stages = nn.ModuleList(conv_stage(after, before, depth) for (before, after), depth in steps)
        xavier(self)

    def forward(self, bottleneck: Tensor, indices: Sequence[Tensor]) -> Tensor:
        """The decoded map (B, channels, H, W).

        Args:
            bottleneck: the encoder's last map (B, widths[-1], H / 32, W / 32).
            indices: of the encoder's stages, finest first.
        """
        maps = bottleneck
        for stage, places in zip(reversed(self.stages), reversed(indices), strict=True):
            maps = stage(unpool(maps, places))
        return maps


class SegNetHead(nn.Sequential):
    """A task's head: 3x3 convolution, 1x1 convolution to the task's channels, both with bias, no activation.

    Args:
        inputs: channels of the decoded map.
        outputs: channels of the prediction.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.Conv2d(inputs, inputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1))
        xavier(self)


class SegNet(nn.Module):
    """The multi-task network of the JTR paper (section 4.1); with one task, its single-task network.

    Args:
        backbone: the shared encoder.
        main: the tasks.
        channels: output channels of every task.

    Raises:
        SpecError: for a backbone that does not say where its pooled values were.
    """

    front_end: ClassVar[bool] = False

    def __init__(self, backbone: SegNetEncoder, main: Sequence[str], channels: Mapping[str, int]):
        super().__init__()
        if not isinstance(backbone, SegNetEncoder):
            raise SpecError(
                f"SegNet needs the encoder that it mirrors, got {type(backbone).__name__}",
                field="model.backbone",
                mend="Name 'segnet' or 'segnet_nano'",
            )
        self.backbone = backbone
        self.decoder = SegNetDecoder(backbone.channels)
        self.heads = nn.ModuleDict({task: SegNetHead(self.decoder.channels, channels[task]) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W), and the encoder's maps, the last one the bottleneck."""
        features, indices = self.backbone.encode(image)
        decoded = self.decoder(features[-1], indices)
        return Outputs({task: head(decoded) for task, head in self.heads.items()}, features=features)
