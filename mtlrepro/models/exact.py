"""Parts of networks that stay in float32 where the rest of them is computed in lower precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def exact(device: torch.device) -> AbstractContextManager:
    """No lower precision inside, under autocast, which is not there on every device."""
    there = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if there else nullcontext()


def at_least_float32(maps: Tensor) -> Tensor:
    """The maps themselves, or in float32 where they are of lower precision."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
