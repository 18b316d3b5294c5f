"""Feature propagation module of MTI-Net (ECCV 2020, section 2.4, figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.layers import SqueezeExcite, basic_block

SOFTMAX = ("channels", "tasks")


class FeaturePropagation(nn.Module):
    """Refines each task's features by a representation that all tasks share, before they go to the next finer scale.

    Harmonization: a non-linear function f (two basic blocks that shrink the channels, a 1x1 convolution that restores
    them) turns the concatenated features of N tasks into an attention mask; attended features are reduced from N·C to C
    channels. Refinement: a squeeze-and-excitation gate per task selects from the shared map, added as a residual.

    Args:
        tasks: the N tasks, in order of concatenation.
        channels: width C of every task's features.
        reduction: f works on N·C // reduction channels; 1 leaves them unreduced.
        softmax: "tasks" normalises the mask across tasks, as the paper says. "channels" normalises it over groups of N
            adjacent channels, mostly of one task, as the public reference implementation does.

    Raises:
        SpecError: for an unknown `softmax`, or a `reduction` that leaves no channel.
    """

    def __init__(self, tasks: Sequence[str], channels: int, *, reduction: int = 4, softmax: str = "channels"):
        super().__init__()
        if softmax not in SOFTMAX:
            raise unknown("softmax axis", str(softmax), SOFTMAX, field="fpm_softmax")
        total = len(tasks) * channels
        if not isinstance(reduction, int) or not 1 <= reduction <= total:
            mend = f"Give an integer from 1 to {total}"
            raise SpecError(f"cannot reduce {total} channels by {reduction!r}", field="fpm_reduction", mend=mend)
        hidden = total // reduction
        self.attention = nn.Sequential(
            basic_block(total, hidden), basic_block(hidden, hidden), nn.Conv2d(hidden, total, 1)
        )
        self.reduce = basic_block(total, channels)
        self.gates = nn.ModuleDict({task: SqueezeExcite(channels) for task in tasks})
        # Splitting N·C channels in order: (C, N) puts N adjacent ones in a group, (N, C) puts tasks on the first axis.
        self.split, self.axis = ((channels, len(tasks)), 2) if softmax == "channels" else ((len(tasks), channels), 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Refined features (B, C, H, W) per task, from initial ones of the same shape."""
        joined = torch.cat([features[task] for task in self.gates], dim=1)
        mask = self.attention(joined).unflatten(1, self.split).softmax(dim=self.axis).flatten(1, 2)
        shared = self.reduce(mask * joined)
        return {task: features[task] + gate(shared) for task, gate in self.gates.items()}
