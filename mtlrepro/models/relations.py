"""The relational contexts of ATRC (Bruggemann et al., ICCV 2021): what a target task gathers from a source task.

Four kinds of attention answer the same question, for every place of the target: what in the source belongs to it? They
differ in what is attended to: all places ("global"), near places ("local"), or one mean of the source's features for
every class, of the target's auxiliary map ("t-label") or of the source's ("s-label"). "none" gathers nothing. Layers
and constants are those of the public reference implementation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.models.attention import plain
from mtlrepro.models.deeplab import conv_norm


class TaskMaps(NamedTuple):
    """What is known of a task at stride 4.

    Attributes:
        features: (B, C, H, W).
        labels: (B, K, H·W), where each of the K classes of the task's auxiliary map is: a distribution over places for
            every class. None for a task that nobody needs it of.
    """

    features: Tensor
    labels: Tensor | None = None


class Relation(nn.Module, ABC):
    """Context of a target task in a source task: the queries of the one, the keys and values of the other.

    Queries and keys pass two 1x1 convolutions with batch norm and ReLU, values one. All weights of convolutions are
    Xavier uniform at the start.

    Args:
        channels: width C of both tasks' features.
        width: of queries, keys, values and the result.

    Class attributes:
        labels_of: whose auxiliary map it reads, "target" or "source"; "" for nobody's.
    """

    labels_of: ClassVar[str] = ""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.query, self.key = (nn.Sequential(*conv_norm(channels, width), *conv_norm(width, width)) for _ in range(2))
        self.value = conv_norm(channels, width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    @abstractmethod
    def forward(self, target: TaskMaps, source: TaskMaps) -> Tensor:
        """(B, width, H, W), the context of every place of the target."""


SMALLEST = 1e-12
"""What the sum of a place's weights is at least, where it divides."""


class GlobalContext(Relation):
    """Linear attention over all places: with positive queries q and keys k, Σ_j v_j (k_j · q_i) / Σ_j k_j · q_i.

    The last ReLU of queries and keys is a softplus.
    """

    def __init__(self, channels: int, width: int):
        super().__init__(channels, width)
        for projection in (self.query, self.key):
            projection[-1] = nn.Softplus()

    def forward(self, target: TaskMaps, source: TaskMaps) -> Tensor:
        """(B, width, H, W), the context of every place of the target."""
        query = self.query(target.features)
        key, value = self.key(source.features).flatten(2), self.value(source.features).flatten(2)
        places = query.flatten(2)
        total = key.sum(dim=2)[:, None] @ places
        return ((value @ key.mT) @ places / total.clamp_min(SMALLEST)).view_as(query)


WINDOW = 9


class LocalContext(Relation):
    """Dot-product attention to the 9x9 places around, softmax(q · k / √width) v.

    Places outside of the picture have score 0 and value 0. They stay in the softmax, so that less is gathered near the
    picture's border. Window by window in memory would be 162 times the features; here it is the scores alone.
    """

    def forward(self, target: TaskMaps, source: TaskMaps) -> Tensor:
        """(B, width, H, W), the context of every place of the target."""
        query = self.query(target.features)
        query = query * query.shape[1] ** -0.5
        keys, values = (windows(maps) for maps in (self.key(source.features), self.value(source.features)))
        scores = torch.stack([(query * key).sum(dim=1, keepdim=True) for key in keys])
        context = torch.zeros_like(query)
        for weight, value in zip(scores.softmax(dim=0), values, strict=True):
            context = context + weight * value
        return context


def windows(maps: Tensor) -> list[Tensor]:
    """Zero-padded maps (B, C, H, W), shifted to each of the 81 places of a 9x9 window, row by row; without copies."""
    height, width = maps.shape[-2:]
    padded = F.pad(maps, [WINDOW // 2] * 4)
    return [padded[..., y : y + height, x : x + width] for y in range(WINDOW) for x in range(WINDOW)]


class LabelContext(Relation):
    """Dot-product attention to as many vectors as an auxiliary map has classes.

    Each is the mean of the source's features under the distribution of one class over places.
    """

    def forward(self, target: TaskMaps, source: TaskMaps) -> Tensor:
        """(B, width, H, W), the context of every place of the target."""
        labels = cast(Tensor, {"target": target, "source": source}[self.labels_of].labels)
        means = (labels @ source.features.flatten(2).mT).mT[..., None]
        query, key, value = self.query(target.features), self.key(means), self.value(means)
        return plain(*(maps.flatten(2).mT for maps in (query, key, value))).mT.reshape(query.shape)


class TargetLabels(LabelContext):
    """`LabelContext` by the classes of the target."""

    labels_of = "target"


class SourceLabels(LabelContext):
    """`LabelContext` by the classes of the source."""

    labels_of = "source"


RELATIONS: Mapping[str, type[Relation] | None] = {
    "none": None,
    "global": GlobalContext,
    "local": LocalContext,
    "t-label": TargetLabels,
    "s-label": SourceLabels,
}
"""Context types by name, in the order of their published numbers 0 to 4."""
