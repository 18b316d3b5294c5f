"""Feature pyramids on ResNets (Lin et al., CVPR 2017), the FPN backbones of MTI-Net (ECCV 2020, section 3.1, A.2).

The public reference implementation has none, and the paper says neither how wide the pyramid is nor how wide the tasks'
features on it are. A pyramid of 256 channels with the panoptic head as its own paper has it reproduces what Table 7b
prints for the single-task and the multi-task networks; the widths of MTI-Net's task features are a guess that was
fitted to the third row of that table (`TASK_WIDTHS`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from mtlrepro.models.panoptic import GROUPS, WIDTH, PanopticHead
from mtlrepro.models.resnet import RESNET18, RESNET50, ResNetConfig

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

TASK_WIDTHS = (64, 112, 160, 192)
"""Channels of MTI-Net's task features on a pyramid, finest scale first: a guess.

The only trace of the authors' own widths are the parameters and multiply-accumulates of Table 7b, and these were picked
because they come near them (-34.2 % and -19.4 %, printed -35.0 % and -19.9 %); others come as near, such as (80, 80,
128, 224), and (64, 120, 128, 208) comes nearer. That they agree there is by construction."""


@dataclass(frozen=True)
class FPNConfig:
    """One feature pyramid on a ResNet, as data.

    Attributes:
        encoder: the ResNet under it, not dilated.
        width: channels of all maps of the pyramid.
        task_widths: channels of a task's features at every scale, where an architecture gives it features of its own.
        head_width: channels inside a task's head.
        head_groups: groups of the head's norms.
    """

    encoder: ResNetConfig
    width: int = 256
    task_widths: tuple[int, ...] = TASK_WIDTHS
    head_width: int = WIDTH
    head_groups: int = GROUPS

    @property
    def weights(self) -> tuple[str, ...]:
        """Pinned tags whose weights fit the encoder."""
        return self.encoder.weights

    def build(self, *, size: tuple[int, int] | None = None) -> FPN:
        """The network, randomly initialised (encoder: He normal as timm; pyramid: as torchvision), for any `size`."""
        return FPN(self)


RESNET18_FPN = FPNConfig(RESNET18)

RESNET50_FPN = FPNConfig(RESNET50)

# Same class, shrunk by configuration alone, for smoke runs on a CPU.
FPN_NANO = FPNConfig(
    ResNetConfig(output_stride=32, parameters=45_216, blocks=(1, 1, 1, 1), widths=(8, 16, 24, 32), block="basic"),
    width=32,
    task_widths=(8, 16, 24, 32),
    head_width=16,
    head_groups=4,
)


class FPN(nn.Module):
    """A ResNet and torchvision's feature pyramid: 1x1 convolutions, sums from the top, 3x3 convolutions, no norm.

    All its maps are smoothed by a 3x3 convolution each; those of a map that nothing reads get no gradient. MT-CP has a
    pyramid of its own of which only the finest map is made (`mtlrepro.models.pyramid_fusion`).

    Args:
        config: what to build.

    Attributes:
        encoder: the ResNet; pinned weights are its.
        channels: width of every map, all the same.
        strides: (4, 8, 16, 32).
        task_widths: channels of a task's features at every scale, for architectures that give it features of its own.
        task_head: (widths, strides, outputs) of what a task reads and predicts -> its decoder.
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if the ResNet that timm builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: FPNConfig):
        super().__init__()
        self.task_widths = config.task_widths
        self.task_head = partial(PanopticHead, width=config.head_width, groups=config.head_groups)
        self.encoder = config.encoder.build()
        self.pyramid = FeaturePyramidNetwork(list(self.encoder.channels), config.width)
        self.channels, self.strides = (config.width,) * len(self.encoder.channels), self.encoder.strides

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of an image (B, 3, H, W).

        Returns:
            Four maps (B, width, H / strides[s], W / strides[s]), finest first.

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        named = OrderedDict((str(scale), m) for scale, m in enumerate(self.encoder(image)))
        return list(self.pyramid(named).values())
