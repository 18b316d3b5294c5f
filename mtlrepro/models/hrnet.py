"""HRNetV2 backbones of MTI-Net (ECCV 2020): timm's network, with the two settings in which the paper's differs.

"HRNet-18" of the paper is HRNetV2-W18-Small-v2 (3.86 M parameters; timm `hrnet_w18_small_v2`), not the full W18, which
has the same widths and would silently work: hence the parameter count in every configuration, checked when it is built.

timm's module, with `feature_location=""` so that the four branches come out as they are, has the state-dict keys of the
public reference implementation. Two settings are changed here to match it: maps are resized bilinearly (half-pixel
centres) in the fusion layers, where timm repeats the nearest pixel, and batch norms have momentum 0.01 instead of 0.1.
Pictures of any size are taken as in ATRC's public reference implementation, whose pictures of NYUD-v2 are 425x560.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import torch
from timm.models.hrnet import HighResolutionModule, HighResolutionNetFeatures, cfg_cls
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.layers import resize

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class HRNetConfig:
    """One HRNet, as data.

    Attributes:
        timm: key of timm's configuration table that this one starts from.
        parameters: number of learnable parameters of the four-branch network.
        weights: pinned timm tags whose weights fit, none for a network that nobody pretrained.
        overrides: fields of timm's configuration that are replaced; a mapping replaces single fields of a stage.
        bn_momentum: of the backbone's batch norms; the published 0.01 suits pretrained statistics.
    """

    timm: str
    parameters: int
    weights: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    bn_momentum: float = 0.01

    def build(self, *, size: tuple[int, int] | None = None) -> HRNet:
        """The network, randomly initialised (He normal, as timm does), for images of any `size`."""
        return HRNet(self)


HRNET18 = HRNetConfig(timm="hrnet_w18_small_v2", parameters=3_860_720, weights=("hrnet_w18_small_v2.ms_in1k",))

HRNET48 = HRNetConfig(timm="hrnet_w48", parameters=65_325_120, weights=("hrnet_w48.ms_in1k",))

# Same class, shrunk by configuration alone, for smoke runs on a CPU. timm fixes the second stem convolution at 64.
HRNET_NANO = HRNetConfig(
    timm="hrnet_w18_small_v2",
    parameters=240_864,
    overrides={
        "stem_width": 16,
        "stage1": {"num_blocks": (1,), "num_channels": (16,)},
        "stage2": {"num_modules": 1, "num_blocks": (1,) * 2, "num_channels": (8, 16)},
        "stage3": {"num_modules": 1, "num_blocks": (1,) * 3, "num_channels": (8, 16, 32)},
        "stage4": {"num_modules": 1, "num_blocks": (1,) * 4, "num_channels": (8, 16, 32, 64)},
    },
    bn_momentum=0.1,  # from random weights, a few hundred steps must suffice for the running statistics
)


class Exchange(HighResolutionModule):
    """timm's stage module for pictures of any size.

    Upsampling by a power of two misses the finer map by some pixels where halving has rounded up: what comes from a
    coarser branch is resized to the finer map's own size then. Everywhere else nothing changes, not by a bit.
    """

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of all branches, finest first, of the sizes they came in."""
        maps = [branch(m) for branch, m in zip(self.branches, maps, strict=True)]
        return [self._fused(layers, maps, own.shape[-2:]) for layers, own in zip(self.fuse_layers, maps, strict=True)]

    def _fused(self, layers: Any, maps: list[Tensor], size: torch.Size) -> Tensor:
        # One after the other: a map is gone when it has been added.
        return self.fuse_act(reduce(add, (resize(layer(m), size) for layer, m in zip(layers, maps, strict=True))))


class HRNet(HighResolutionNetFeatures):
    """HRNetV2 that returns its four branches, strides 4, 8, 16 and 32 (MTI-Net, section 3.1).

    Attributes:
        channels: width of every branch, finest first.
        strides: (4, 8, 16, 32).
        weights_report: what was loaded, None while the weights are random.

    Raises:
        SpecError: if the network that timm builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: HRNetConfig):
        cfg: dict[str, Any] = copy.deepcopy(cfg_cls[config.timm])
        for key, value in config.overrides.items():
            cfg[key] = {**cfg[key], **value} if isinstance(value, Mapping) else value
        super().__init__(cfg, feature_location="", out_indices=(1, 2, 3, 4))
        self.channels: tuple[int, ...] = tuple(cfg["stage4"]["num_channels"])
        self.strides = STRIDES
        for module in self.modules():
            if isinstance(module, nn.Upsample):
                module.mode, module.align_corners = "bilinear", False
            elif isinstance(module, HighResolutionModule):
                module.__class__ = Exchange  # the layers are timm's
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = config.bn_momentum
        count = sum(p.numel() for p in self.parameters())
        if count != config.parameters:
            raise SpecError(
                f"timm's {config.timm} has {count:,} parameters, expected {config.parameters:,}",
                mend="This timm builds another network; install the version that a stored run's env.json names",
            )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of an image (B, 3, H, W) of any size.

        Returns:
            Four maps (B, channels[s], ⌈H / strides[s]⌉, ⌈W / strides[s]⌉), finest first.
        """
        return super().forward(image)
