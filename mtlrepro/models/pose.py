"""The pose network of self-supervised depth: from two frames how the camera moved between them (DenseMTL, sec. 4.4).

The paper takes it from Hoyer et al. (CVPR 2021), who have it from Godard et al. (ICCV 2019): a ResNet-18 over both
frames, four convolutions, a mean over the picture. Layers and sizes are those of the public reference implementation.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

from mtlrepro.data.sample import centred
from mtlrepro.data.warp import motion_matrix
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.resnet import STAGES, STEM

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

FRAMES = 2
"""Frames that the network sees at once."""

OUTPUT_SCALE = 0.01
"""What the last layer's output is multiplied by, so that the camera nearly stands still at the start."""


@dataclass(frozen=True)
class PoseConfig:
    """One pose network, as data.

    Attributes:
        parameters: number of learnable parameters.
        blocks: residual blocks of the four stages of its ResNet.
        widths: channels of these stages.
        hidden: channels of the convolutions behind them.
        weights: pinned timm tags whose weights fit the ResNet, none for one that nobody pretrained.
    """

    parameters: int
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    hidden: int = 256
    weights: tuple[str, ...] = ()


POSES: dict[str, PoseConfig] = {
    "resnet18": PoseConfig(parameters=12_500_492, weights=("resnet18.tv_in1k",)),
    # Same class, shrunk by configuration alone, for smoke runs on a CPU.
    "resnet18_nano": PoseConfig(parameters=60_196, blocks=(1, 1, 1, 1), widths=(8, 12, 16, 24), hidden=32),
}
"""The networks by name."""


class PoseNetwork(nn.Module):
    """The rigid motion of the camera between two frames.

    Of the twelve numbers of its last layer the first three are the rotation (axis times angle) and the next three the
    translation; the others are unused, as in the public reference implementation.

    Args:
        config: what to build.

    Attributes:
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if the network that timm builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: PoseConfig):
        super().__init__()
        self.config, hidden = config, config.hidden
        self.encoder = _encoder(config, 3 * FRAMES)
        self.decoder = nn.Sequential(
            nn.Conv2d(config.widths[-1], hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 6 * FRAMES, 1),
        )
        count = sum(p.numel() for p in self.parameters())
        if count != config.parameters:
            raise SpecError(
                f"the pose network has {count:,} parameters, expected {config.parameters:,}",
                mend="This timm builds another network; install the version that a stored run's env.json names",
            )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Camera coordinates of the first frame to those of the second, (B, 4, 4).

        Args:
            first: (B, 3, H, W) RGB in [0, 1], the earlier frame.
            second: (B, 3, H, W), the later one.
        """
        numbers = self.decoder(self.encoder(centred(torch.cat([first, second], 1)))).mean((2, 3)) * OUTPUT_SCALE
        return motion_matrix(numbers[:, :3], numbers[:, 3:6])

    def load(self, tag: str) -> WeightsReport:
        """Load pinned weights into its ResNet; both frames get the first convolution's, halved.

        Raises:
            SpecError: if this is no tag of the configuration.
            DataError: if the weights cannot be found or do not fit.
        """
        from mtlrepro.models.weights import load_weights

        if tag not in self.config.weights:
            raise unknown("weights tag of the pose network", tag, self.config.weights, field="pose_weights")
        single = _encoder(self.config, 3)
        report = load_weights(single, tag)
        state = single.state_dict()
        state["conv1.weight"] = torch.cat([state["conv1.weight"]] * FRAMES, 1) / FRAMES
        self.encoder.load_state_dict(state)
        self.weights_report = report
        return report


def _encoder(config: PoseConfig, inputs: int) -> nn.Sequential:
    """timm's ResNet of basic blocks under its own names of tensors, without its head, for `inputs` channels."""
    net = ResNet(
        BasicBlock,  # type: ignore[arg-type]  # timm's annotation has the instance where it takes the class
        config.blocks,
        num_classes=0,
        in_chans=inputs,
        channels=config.widths,
        zero_init_last=False,
    )
    return nn.Sequential(OrderedDict((name, net.get_submodule(name)) for name in STEM + STAGES))
