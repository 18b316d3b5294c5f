"""ResNets: timm's network, whose last stages may keep their resolution and dilate their convolutions instead.

With output stride 8 the third stage has dilation 2 and the fourth 4, with output stride 16 the fourth has 2, with 32
none has; the first block of a dilated stage keeps the dilation of the stage before it, as torchvision's segmentation
networks have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from timm.models import resnet as timm_resnet
from torch import Tensor, nn

from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

MULTIPLE = 32
WIDTH = 64
"""Channels of the first convolution's output, fixed in timm's network."""

STEM, STAGES = ("conv1", "bn1", "act1", "maxpool"), ("layer1", "layer2", "layer3", "layer4")
"""timm's names, which are those of the tensors in a checkpoint."""

STEM_MAP = "act1"

BLOCKS: dict[str, Any] = {"basic": timm_resnet.BasicBlock, "bottleneck": timm_resnet.Bottleneck}


@dataclass(frozen=True)
class ResNetConfig:
    """One ResNet, as data.

    Attributes:
        output_stride: of the last maps, 8, 16 or 32.
        parameters: number of learnable parameters for three input channels.
        blocks: residual blocks of the four stages.
        widths: inner channels of their blocks; the maps of a stage of bottlenecks have four times as many.
        block: kind of the residual blocks, a key of `BLOCKS`.
        weights: pinned timm tags whose weights fit, none for a network that nobody pretrained.
        stem_map: whether the stem's map at half the resolution, before pooling, is returned too, as the first one.
    """

    output_stride: int
    parameters: int
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    block: str = "bottleneck"
    weights: tuple[str, ...] = ()
    stem_map: bool = False

    @property
    def stem(self) -> int:
        """Channels of the first convolution's output."""
        return WIDTH

    def build(self, inputs: int = 3, *, size: tuple[int, int] | None = None) -> ResNet:
        """The network for maps of `inputs` channels and any `size`, randomly initialised (He normal, as timm does)."""
        return ResNet(self, inputs)


RESNET18 = ResNetConfig(
    output_stride=32, parameters=11_176_512, blocks=(2, 2, 2, 2), block="basic", weights=("resnet18.tv_in1k",)
)

RESNET50 = ResNetConfig(output_stride=32, parameters=23_508_032, weights=("resnet50.tv_in1k",))

RESNET18_OS8 = replace(RESNET18, output_stride=8)

RESNET50_OS8 = replace(RESNET50, output_stride=8)

RESNET50_OS16 = replace(RESNET50, output_stride=16)

RESNET101_OS16 = ResNetConfig(
    output_stride=16, parameters=42_500_160, blocks=(3, 4, 23, 3), weights=("resnet101.tv_in1k",), stem_map=True
)

# Same class, shrunk by configuration alone, for smoke runs on a CPU.
RESNET_NANO = ResNetConfig(output_stride=8, parameters=40_256, blocks=(1, 1, 1, 1), widths=(8, 12, 16, 24))

RESNET_NANO_OS16 = replace(RESNET_NANO, output_stride=16, stem_map=True)


class ResNet(nn.Module):
    """ResNet that returns the maps of its four stages: strides 4, 8, 16, 32, but none above the output stride.

    Where the configuration says so, the stem's map of stride 2 comes before them.

    Args:
        config: what to build.
        inputs: channels of the input.

    Attributes:
        channels: width of every map, finest first.
        strides: such as (4, 8, 8, 8) for output stride 8, after a 2 with the stem's map.
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if the network that timm builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: ResNetConfig, inputs: int = 3):
        super().__init__()
        block = BLOCKS[config.block]
        net = timm_resnet.ResNet(
            block,
            config.blocks,
            num_classes=0,
            in_chans=inputs,
            output_stride=config.output_stride,
            channels=config.widths,
            zero_init_last=False,  # torchvision's start, too
        )
        for name in STEM + STAGES:
            self.add_module(name, net.get_submodule(name))
        maps = {
            name: (block.expansion * width, min(stride, config.output_stride))
            for name, width, stride in zip(STAGES, config.widths, (4, 8, 16, 32), strict=True)
        }
        if config.stem_map:
            maps = {STEM_MAP: (WIDTH, 2), **maps}
        self.delivers = tuple(maps)
        self.channels, self.strides = (tuple(values) for values in zip(*maps.values(), strict=True))
        kernel = self.get_parameter("conv1.weight")
        count = sum(p.numel() for p in self.parameters()) - (inputs - 3) * kernel[:, 0].numel()
        if count != config.parameters:
            raise SpecError(
                f"timm's ResNet of {config.blocks} blocks has {count:,} parameters, expected {config.parameters:,}",
                mend="This timm builds another network; install the version that a stored run's env.json names",
            )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of an input (B, inputs, H, W).

        Returns:
            Four or five maps (B, channels[s], H / strides[s], W / strides[s]), finest first.

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        check_size(image)
        maps = []
        for name in STEM + STAGES:
            image = self.get_submodule(name)(image)
            if name in self.delivers:
                maps.append(image)
        return maps


def check_size(image: Tensor) -> None:
    """Raise a `SpecError` unless height and width of an image (B, 3, H, W) are multiples of 32."""
    height, width = image.shape[-2:]
    if height % MULTIPLE or width % MULTIPLE:
        mend = f"Choose multiples of {MULTIPLE}"
        raise SpecError(f"cannot take an image of {height}x{width} pixels", field="data.size", mend=mend)
