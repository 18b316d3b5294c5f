"""Batches without content, for counting and timing what does not depend on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtlrepro.data.sample import Batch, View
from mtlrepro.data.transforms.crop import Window
from mtlrepro.tasks.base import Task


def blank_batch(
    tasks: Mapping[str, Task],
    labelled: Mapping[str, Tensor],
    size: tuple[int, int],
    views: int,
    device: torch.device | str = "cpu",
    extra: int = 0,
) -> Batch:
    """Random images with labels that hold nothing valid.

    Args:
        tasks: the tasks to have labels of.
        labelled: task -> (B,) bool on the host, which samples count as labelled.
        size: (height, width).
        views: views of every sample; all show the whole of the first.
        device: where images and targets lie, "meta" for counting.
        extra: how many of the samples, the last ones, are of a second stream; each of them has a second frame from the
            same place, of unknown depth.
    """
    batch = len(next(iter(labelled.values())))
    targets = {name: torch.stack([_blank(task, size, device)] * batch) for name, task in tasks.items()}
    windows = (Window.whole(size),) * batch
    images = [torch.rand(batch, 3, *size, device=device) for _ in range(views)]
    others = tuple(View(image, targets, windows) for image in images[1:])
    beside = _still(extra, size, device) if extra else {}
    return Batch(images[0], targets, dict(labelled), torch.arange(batch), others, extra=extra, beside=beside)


def _still(samples: int, size: tuple[int, int], device: torch.device | str) -> dict[str, Tensor]:
    """Cameras as wide as they are long, and one frame each that shows nothing and has not moved."""
    height, width = size
    focal = [[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]]
    return {
        "intrinsics": torch.tensor(focal, device=device).repeat(samples, 1, 1),
        "frames": torch.zeros(samples, 1, 3, height, width, device=device),
        "frame_depth": torch.zeros(samples, 1, height, width, device=device),
        "motion": torch.eye(4, device=device).repeat(samples, 1, 1, 1),
    }


def _blank(task: Task, size: tuple[int, int], device: torch.device | str) -> Tensor:
    return task.collate(task.unlabelled(size)).to(device)
