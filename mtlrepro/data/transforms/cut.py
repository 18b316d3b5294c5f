"""Cuts of a fixed size at a random place, without resizing: of InvPT and ATRC (by class shares) and of DenseMTL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import Sample
from mtlrepro.data.transforms.geometry import axis_map, moved_geometry

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

ROUNDS = 10
"""Places that are judged; the one drawn after them is taken unseen."""


def draw_place(
    available: Sequence[int], size: Sequence[int], draws: Draws, classes: Tensor | None = None
) -> tuple[int, int]:
    """The top left corner of a cut: its row is drawn, then its column, each uniformly.

    Args:
        available: (height, width) of the sample; along an axis where it is smaller than the cut, the place is 0.
        size: (height, width) of the cut.
        draws: where the numbers come from.
        classes: (H, W) uint8 class ids, 255 ignored. If given, places are drawn until the cut is `varied`.
    """
    spare = [max(n - part, 0) for n, part in zip(available, size, strict=True)]

    def place() -> tuple[int, int]:
        top = draws.choice(range(spare[0] + 1))
        return top, draws.choice(range(spare[1] + 1))

    top, left = place()
    if classes is not None:
        classes = classes.cpu()  # one copy: judged on a GPU, every place would be waited for
        for _ in range(ROUNDS):
            if varied(classes[top : top + size[0], left : left + size[1]]):
                break
            top, left = place()
    return top, left


def varied(classes: Tensor) -> bool:
    """Whether (H, W) uint8 class ids, 255 ignored, show two classes at least, none on three quarters of the pixels."""
    counts = torch.bincount(classes.flatten().long(), minlength=256)[:255]
    shown, most, total = torch.stack([(counts > 0).sum(), counts.max(), counts.sum()]).tolist()
    return shown > 1 and 4 * most < 3 * total


def cut_sample(sample: Sample, place: tuple[int, int], size: Sequence[int], tasks: Mapping[str, Task]) -> Sample:
    """The part of a sample from (top, left) on, as far as size (height, width) or the sample reaches.

    Returns:
        `image`, the labels of `tasks` and the camera, which share memory with the sample's.
    """
    (top, left), (height, width) = place, size

    def part(maps: Tensor) -> Tensor:
        return maps[..., top : top + height, left : left + width]

    moved = {name: part(sample[name]) for name in ("image", *tasks)}
    return moved | moved_geometry(sample, axis_map((1.0, -left), (1.0, -top)), part, part)
