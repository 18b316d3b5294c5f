"""Cost of many networks on few backbones: a backbone's maps are made once, and each network counted on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from fvcore_extras import FvcoreExtras
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.models import build_decoder
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.spec import ModelSpec

Size = tuple[int, int]


@dataclass(frozen=True)
class Counted:
    """Parameters, multiply-accumulates, and what fvcore adds to these for normalisation and resizing."""

    params: int
    macs: int
    extras: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.params + other.params, self.macs + other.macs, self.extras + other.extras)


def counted(module: nn.Module, *inputs: object) -> tuple[Counted, object]:
    """What a call of a module on the meta device costs, and its result."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter, FvcoreExtras() as extras:
        result = module.eval()(*inputs)
    params = sum(p.numel() for p in module.parameters())
    return Counted(params, counter.get_total_flops() // 2, extras.total), result


@cache
def backbone_cost(name: str, size: Size) -> tuple[Counted, nn.Module, list[Tensor]]:
    """Cost of a backbone for an image of a size, itself, and its maps."""
    with torch.device("meta"):
        backbone = BACKBONES[name].build(size=size)
        cost, maps = counted(backbone, torch.empty(1, 3, *size))
    return cost, backbone, maps  # type: ignore[return-value]


def network_cost(model: ModelSpec, channels: Mapping[str, int], size: Size) -> Counted:
    """Cost of a whole network for an image of a size.

    Networks that differ in the backbone alone share a decoder where the backbones are of one class and their maps of
    one shape: that is counted once.
    """
    cost, backbone, maps = backbone_cost(model.backbone, size)
    key = replace(model, backbone=type(backbone).__name__), tuple(channels.items()), size, *(m.shape for m in maps)
    if key not in DECODERS:
        with torch.device("meta"):
            decoder = build_decoder(model, channels, backbone)
            decoder.backbone.maps = maps
            DECODERS[key] = counted(decoder, torch.empty(1, 3, *size))[0]
    return cost + DECODERS[key]


DECODERS: dict[tuple[object, ...], Counted] = {}
