"""Cross-task attention (xTAM) and the multi-task exchange block (mTEB) of DenseMTL (WACV 2023, sections 3.1 and 3.2).

Where equations 1 to 5 leave layers open or differ from them, the public reference implementation is followed, because
the published block sizes (table 3) are its sizes: the source's features pass a 3x3 convolution first, both tasks are
downscaled by the same factor, projections are 1x1 convolution, batch norm and ReLU, self-attention (equation 3: the
attention unit of PAD-Net) has half the channels, and a further projection brings the joined features back to C channels
before the fusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.attention import lean, plain
from mtlrepro.models.deeplab import conv_norm
from mtlrepro.models.distillation import AttentionUnit


class SpatialAttention(nn.Module):
    """Correlation-guided attention (equations 1 and 2): every place of the target gathers from all of the source.

    Queries are made of the target's pixels 0, s, 2s, … in height and width, keys and values of the highest values in
    the source's s x s squares. What is gathered is repeated s times in both directions and weighed by a factor a
    channel, α, which starts at zero.

    Args:
        channels: width C of both tasks' features, also the size of queries and keys.
        factor: s, a divisor of height and width.
        attend: attention over queries (B, N, C), keys and values (B, M, C).
    """

    def __init__(self, channels: int, factor: int, attend: Callable[[Tensor, Tensor, Tensor], Tensor] = lean):
        super().__init__()
        self.query = conv_norm(channels, channels)
        self.key = conv_norm(channels, channels)
        self.value = conv_norm(channels, channels)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.factor, self.attend = factor, attend

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """(B, C, H, W) of the target's and the source's features (B, C, H, W).

        Raises:
            SpecError: if H or W is not a multiple of the factor.
        """
        height, width = source.shape[-2:]
        if height % self.factor or width % self.factor:
            mend = f"Choose a size that leaves multiples of {self.factor}"
            raise SpecError(f"no attention over maps of {height}x{width} pixels", field="data.size", mend=mend)
        query = self.query(target[..., :: self.factor, :: self.factor])
        pooled = F.max_pool2d(source, self.factor)
        key, value = self.key(pooled), self.value(pooled)
        gathered = self.attend(*(maps.flatten(2).mT for maps in (query, key, value))).mT.unflatten(2, query.shape[2:])
        return F.interpolate(gathered * self.alpha, scale_factor=self.factor, mode="nearest")


class ChannelAttention(nn.Module):
    """Every channel of the target gathers from all channels of the source (table 4b, "channel").

    This is a reconstruction. The paper names channel attention and describes it no further; the public code calls a
    class that it does not contain, without arguments, on the features that the spatial attention gets, and logs a
    single factor β of it. So: A = softmax(X Yᵀ / √(HW)) over the source's channels, with the features X of the target
    and Y of the source as C x HW matrices, and the result β A Y, with β starting at zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """(B, C, H, W) of the target's and the source's features (B, C, H, W)."""
        channels = source.flatten(2)
        return self.beta * plain(target.flatten(2), channels, channels).unflatten(2, source.shape[2:])


CROSS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "spatial": SpatialAttention,
    "channel": lambda channels, factor: ChannelAttention(),
}
"""Cross-task attention, made of the number of channels and the factor of downscaling."""

ATTENTIONS: Mapping[str, tuple[str, ...]] = {
    "spatial": ("spatial",),
    "channel": ("channel",),
    "both": ("spatial", "channel"),
    "none": (),
}
"""Kinds of cross-task attention in table 4b, in their order of concatenation.

"none" leaves self-attention alone. No table has it; the public reference implementation does, and was measured so.
"""


class Directional(nn.Module):
    """Features f_{j→i} that a source task j has for a target task i (equation 4, and a projection behind it).

    Args:
        channels: width C of both tasks' features and of the result.
        factor: downscaling of the spatial attention.
        attention: key of `ATTENTIONS`.
        self_attention: whether the source's self-attention is concatenated before the cross-task attention.
    """

    def __init__(self, channels: int, factor: int, attention: str, self_attention: bool):
        super().__init__()
        self.extract = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))
        half = channels // 2 if self_attention else 0
        self.own = AttentionUnit(channels, half) if self_attention else None
        self.cross = nn.ModuleList([CROSS[kind](channels, factor) for kind in ATTENTIONS[attention]])
        self.project = conv_norm(half + len(self.cross) * channels, channels)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """(B, C, H, W) of the features (B, C, H, W) of both tasks."""
        source = self.extract(source)
        parts = [] if self.own is None else [self.own(source)]
        return self.project(torch.cat([*parts, *[attend(target, source) for attend in self.cross]], dim=1))


class Fusion(NamedTuple):
    """How a task's features and what the others have for it become one (table 4a).

    Attributes:
        base: whether the task's features are the first that enter the fusing convolution.
        combine: of the task's features and the convolution's result.
    """

    base: bool
    combine: Callable[[Tensor, Tensor], Tensor]


FUSIONS: Mapping[str, Fusion] = {
    "add": Fusion(False, torch.add),
    "prod": Fusion(False, torch.mul),
    "concat": Fusion(True, lambda features, fused: fused),
}


def check_exchange(fusion: str, attention: str, self_attention: bool) -> None:
    """Raise a `SpecError` for an unknown fusion or attention, and for no attention at all."""
    for field, name, known in (("fusion", fusion, FUSIONS), ("attention", attention, ATTENTIONS)):
        if name not in known:
            raise unknown(field, name, known, field=field)
    if not (ATTENTIONS[attention] or self_attention):
        mend = "Choose a kind of cross-task attention, or keep self-attention"
        raise SpecError("an exchange without any attention exchanges nothing", field="attention", mend=mend)


class ExchangeBlock(nn.Module):
    """Multi-task exchange block: every task's features are refined by those of all others (equation 5).

    All directional features are made of unrefined features. They are concatenated in the order of the tasks.

    Args:
        tasks: two or more tasks.
        channels: width C of every task's features, even.
        factor: downscaling of the spatial attention, a divisor of height and width.
        fusion: key of `FUSIONS`.
        attention: key of `ATTENTIONS`.
        self_attention: whether directional features contain the source's self-attention.

    Raises:
        SpecError: for fewer than two tasks, a width that is no positive even number, an unknown fusion or attention,
            and for neither cross-task attention nor self-attention.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        channels: int,
        factor: int,
        *,
        fusion: str = "add",
        attention: str = "spatial",
        self_attention: bool = True,
    ):
        super().__init__()
        check_exchange(fusion, attention, self_attention)
        if len(tasks) < 2:
            mend = "Name at least two tasks"
            raise SpecError(f"nothing can be exchanged among tasks {tuple(tasks)}", field="model.main", mend=mend)
        if channels < 2 or channels % 2:
            mend = "Give even numbers where blocks stand, because self-attention has half as many channels"
            raise SpecError(f"no block can have features of width {channels}", field="widths", mend=mend)
        self.fusion = FUSIONS[fusion]

        def path() -> Directional:
            return Directional(channels, factor, attention, self_attention)

        self.paths = nn.ModuleDict(
            {target: nn.ModuleDict({source: path() for source in tasks if source != target}) for target in tasks}
        )
        entering = len(tasks) - 1 + self.fusion.base
        self.fuse = nn.ModuleDict({task: conv_norm(entering * channels, channels) for task in tasks})

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Refined features (B, C, H, W) per task, of features (B, C, H, W) per task."""
        return {task: self._refine(task, features) for task in self.paths}

    def _refine(self, task: str, features: Mapping[str, Tensor]) -> Tensor:
        paths = cast(nn.ModuleDict, self.paths[task]).items()
        base = [features[task]] if self.fusion.base else []
        entering = [*base, *[path(features[task], features[source]) for source, path in paths]]
        return self.fusion.combine(features[task], self.fuse[task](torch.cat(entering, dim=1)))
