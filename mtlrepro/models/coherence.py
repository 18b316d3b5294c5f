"""Coherence fusion module of MT-CP (WACV 2025, section 3.3): a task's features gathered where the other tasks agree.

The paper merges the main task's features with those of the others "via matrix multiplication". In the public reference
implementation, which is followed here, that is an attention from every place to every place: queries and keys are made
of the other tasks alone, values of the main task. Scores are not divided by the square root of their width, the main
branch has no ReLU, and nothing is added to the result.

At stride 4 a picture of 480x640 pixels has 19,200 places: 1.475 GB of scores in float32 for every image and task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.attention import SCORES, lean, plain
from mtlrepro.models.cbam import CBAM
from mtlrepro.models.exact import exact


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Qᵀ K) Vᵀ over the places of maps, in float32 at least, also under autocast.

    Up to `SCORES` scores are kept for the gradient. Above that they exist for some rows at a time and once more for the
    gradient, which is exact as well, can be differentiated once, and has the same bits every time on any device.

    Args:
        query: (B, d, h, w).
        key: (B, d, H, W).
        value: (B, C, H, W).

    Returns:
        (B, C, h, w), every place a mean of the values, in their precision.
    """
    precision = torch.promote_types(value.dtype, torch.float32)
    with exact(value.device):
        queries, keys, values = (maps.to(precision).flatten(2).mT for maps in (query, key, value))
        few = len(keys) * queries.shape[1] * keys.shape[1] <= SCORES.get(value.device.type, SCORES["cuda"])
        gathered = (plain if few else lean)(queries, keys, values, scaled=False)
    return gathered.mT.unflatten(2, query.shape[2:]).to(value.dtype)


def branch_distance(main: Tensor, others: Tensor) -> Tensor:
    """1 minus the cosine between the vectors of two branches at each place: a scalar in [0, 2], float32 at least.

    The paper brings the directions of both branches together (section 3.3) and leaves open how, where one is wider:
    here every part of the other branch that is as wide as the main one is compared with it. The mean is over images,
    parts and places. A vector of zeros has cosine 0.

    Args:
        main: (B, C, h, w).
        others: (B, n · C, h, w).

    Example:
        >>> branch_distance(torch.ones(1, 2, 1, 1), torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 4, 1, 1))
        tensor(0.1464)
    """
    precision = torch.promote_types(main.dtype, torch.float32)
    parts = others.to(precision).unflatten(1, (-1, main.shape[1]))
    return 1 - F.cosine_similarity(main.to(precision)[:, None], parts, dim=2).mean()


class CoherenceFusion(nn.Module):
    """One main task's features, merged by what the other tasks' features have in common.

    Layers are initialised as PyTorch does.

    Args:
        channels: width C of every task's features.
        others: n, the number of other tasks, at least one; the paper has two.

    Raises:
        SpecError: if there is no other task.
    """

    def __init__(self, channels: int, others: int):
        super().__init__()
        if others < 1:
            mend = "Name at least two main tasks, or leave the coherence fusion out"
            raise SpecError("a task without others has nothing to be coherent with", field="model.main", mend=mend)
        joined = others * channels
        self.value = nn.Sequential(CBAM(channels), nn.BatchNorm2d(channels))
        self.gates = nn.ModuleList(nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Sigmoid()) for _ in range(others))
        self.join = nn.Sequential(nn.Conv2d(joined, joined, 1), nn.ReLU())
        self.query, self.key = (nn.Sequential(CBAM(joined), nn.BatchNorm2d(joined), nn.ReLU()) for _ in range(2))
        self.result = nn.Sequential(CBAM(channels), nn.BatchNorm2d(channels))

    def forward(self, main: Tensor, others: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Fused features and the two branches that they are made of.

        Args:
            main: (B, C, h, w).
            others: n maps (B, C, h, w), always in the same order of tasks.

        Returns:
            Fused features (B, C, h, w), and the branches of the main task (B, C, h, w) and of the others (B, n · C, h,
            w), for `branch_distance`.
        """
        value = self.value(main)
        joined = self.join(torch.cat([maps * gate(maps) for maps, gate in zip(others, self.gates, strict=True)], dim=1))
        return self.result(attend(self.query(joined), self.key(joined), value)), (value, joined)
