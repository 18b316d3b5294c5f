"""The decoder of InvPT (Ye and Xu, ECCV 2022): an inverted pyramid of transformer stages over all tasks at once.

Every stage doubles the resolution of the one before and halves its channels. Inside a stage all places of all tasks
attend to one another, queries at half of the stage's resolution, keys always at that of a quarter of the first stage's
area; the scores of a stage are a message to the next one. The decoder follows the public reference implementation, also
where the paper reads otherwise: scores are divided by the root of the full width, not of a head's; there is no
stochastic depth; and three of its modules feed nothing. They count as parameters and get no gradient.

Tokens of all tasks are kept as one tensor "grid" (B, T, h, w, C) for T tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from mtlrepro.models.layers import resize

STAGES = 3
HEADS = 2
MLP_RATIO = 4


def widths(first: int) -> tuple[int, ...]:
    """Channels of the stages: those of the first, then halves.

    Example:
        >>> widths(576)
        (576, 288, 144)
    """
    return tuple(first // 2**stage for stage in range(STAGES))


def _maps(grid: Tensor) -> Tensor:
    """A view of (..., h, w, C) as maps (B, C, h, w), whatever comes first folded into the batch."""
    return grid.flatten(0, -4).permute(0, 3, 1, 2)


def _resized(grid: Tensor, size: Sequence[int]) -> Tensor:
    """(..., h, w, C) resized bilinearly to (..., *size, C)."""
    resized = resize(_maps(grid), torch.Size(size)).permute(0, 2, 3, 1)
    return resized.unflatten(0, grid.shape[:-3])


class CrossTaskAttention(nn.Module):
    """Self-attention over the places of all tasks, with scores that pass from stage to stage.

    Args:
        tasks: the tasks, in order of concatenation.
        width: channels C of the stage.
        stage: its number, 0 for the coarsest.
    """

    def __init__(self, tasks: Sequence[str], width: int, stage: int):
        super().__init__()
        self.scale = width**-0.5
        self.reduce_query = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width, bias=False), nn.BatchNorm2d(width)
                )
                for task in tasks
            }
        )
        self.reduce_key = nn.AvgPool2d(2 ** (stage + 1), ceil_mode=True)
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))
        self.fuse = nn.Conv2d(2 * HEADS, HEADS, 1)  # unused in stage 0

    def forward(self, grid: Tensor, message: Tensor | None) -> tuple[Tensor, Tensor]:
        """What to add to a grid (B, T, h, w, C), and this stage's message.

        A message holds scores before the softmax as (B, HEADS, T, h / 2, w / 2, keys), rounded up; `message` is that of
        the stage before, whose queries are half as fine.
        """
        reducers = zip(self.reduce_query.children(), grid.unbind(1), strict=True)
        reduced = torch.stack([reduce(_maps(of_task)) for reduce, of_task in reducers], dim=1)
        queries = reduced.permute(0, 1, 3, 4, 2)
        places = queries.shape[1:4]
        keys = self.reduce_key(_maps(grid)).flatten(2).mT.unflatten(0, grid.shape[:2]).flatten(1, 2)
        q, k, v = (
            linear(tokens).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for linear, tokens in ((self.query, queries.flatten(1, 3)), (self.key, keys), (self.value, keys))
        )
        scores = (q * self.scale) @ k.mT
        if message is not None:
            passed = _resized(message, places[1:]).flatten(2, 4)
            scores = self.fuse(torch.cat([scores, passed], dim=1))
        attended = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        update = self.project(attended).unflatten(1, places)
        return _resized(update, grid.shape[2:4]), scores.unflatten(2, places)


class UpTransformerBlock(nn.Module):
    """One transformer block of one stage; its arguments are those of `CrossTaskAttention`."""

    def __init__(self, tasks: Sequence[str], width: int, stage: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CrossTaskAttention(tasks, width, stage)
        self.mlp = Mlp(width, MLP_RATIO * width)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, grid: Tensor, message: Tensor | None) -> tuple[Tensor, Tensor]:
        """The grid (B, T, h, w, C) after attention and MLP, and the message of its attention."""
        update, message = self.attention(self.norm1(grid), message)
        grid = grid + update
        return grid + self.mlp(self.norm2(grid)), message


def up_embedding(inputs: int, outputs: int) -> nn.Sequential:
    """From one stage to the next: bilinear to twice the size, then two dilated 3x3 convolutions."""

    def conv(width: int) -> list[nn.Module]:
        kernel = nn.Conv2d(width, outputs, 3, padding=2, dilation=2, bias=False)
        return [kernel, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(upsample, *conv(inputs), *conv(outputs))


class UpTransformer(nn.Module):
    """The three stages and the sum of what they give.

    Args:
        tasks: the tasks, in order of concatenation.
        width: channels of the first stage and of the result.

    Attributes:
        channels: `width`.
    """

    def __init__(self, tasks: Sequence[str], width: int):
        super().__init__()
        self.tasks = tuple(tasks)
        self.channels = width
        stages = widths(width)

        def for_each_task(build: Callable[..., nn.Module], *arguments: int) -> nn.ModuleDict:
            return nn.ModuleDict({task: build(*arguments) for task in tasks})

        self.up = nn.ModuleList(for_each_task(up_embedding, *step) for step in pairwise(stages))
        self.blocks = nn.ModuleList(UpTransformerBlock(tasks, c, stage) for stage, c in enumerate(stages))
        self.norms = nn.ModuleList(nn.LayerNorm(len(tasks) * c) for c in stages)
        self.widen = nn.ModuleList(for_each_task(nn.Conv2d, c, width, 1) for c in stages)  # unused in stage 0
        self.norm = nn.LayerNorm(len(tasks) * stages[-1])  # unused

    def forward(self, features: Mapping[str, Tensor], taps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of every task at eight times the size of its input.

        Args:
            features: task -> (B, width, h, w).
            taps: maps of the encoder that are added to every task at the start of stages 1 and 2, (B, width / 2, 2h,
                2w) and (B, width / 4, 4h, 4w).

        Returns:
            task -> (B, width, 8h, 8w), without activation.
        """
        maps = [features[task] for task in self.tasks]
        size = torch.Size(2**STAGES * side for side in maps[0].shape[-2:])
        sums: list[Tensor] = []
        message = None
        for stage, block in enumerate(self.blocks):
            if stage:
                ups = self.up[stage - 1].children()
                maps = [up(of_task) + taps[stage - 1] for up, of_task in zip(ups, maps, strict=True)]
            grid = torch.stack([of_task.permute(0, 2, 3, 1) for of_task in maps], dim=1)
            grid, message = block(grid, message)
            maps = [_maps(of_task) for of_task in grid.unbind(1)]
            given = [resize(of_task, size) for of_task in self._given(grid, stage)]
            sums = [total + more for total, more in zip(sums, given, strict=True)] if stage else given
        return dict(zip(self.tasks, sums, strict=True))

    def _given(self, grid: Tensor, stage: int) -> list[Tensor]:
        """A stage's share in the result, for each task: places normalised over all tasks, then widened."""
        normalised = self.norms[stage](grid.movedim(1, 3).flatten(3)).unflatten(3, (len(self.tasks), -1))
        maps = [_maps(of_task) for of_task in normalised.unbind(3)]
        if stage == 0:
            return maps
        return [widen(of_task) for widen, of_task in zip(self.widen[stage].children(), maps, strict=True)]
