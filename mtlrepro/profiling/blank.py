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
) -> Batch:
    """Random images with labels that hold nothing valid.

    Args:
        tasks: the tasks to have labels of.
        labelled: task -> (B,) bool on the host, which samples count as labelled.
        size: (height, width).
        views: views of every sample; all show the whole of the first.
        device: where images and targets lie, "meta" for counting.
    """
    batch = len(next(iter(labelled.values())))
    targets = {name: torch.stack([_blank(task, size, device)] * batch) for name, task in tasks.items()}
    windows = (Window.whole(size),) * batch
    images = [torch.rand(batch, 3, *size, device=device) for _ in range(views)]
    others = tuple(View(image, targets, windows) for image in images[1:])
    return Batch(images[0], targets, dict(labelled), torch.arange(batch), others)


def _blank(task: Task, size: tuple[int, int], device: torch.device | str) -> Tensor:
    return task.collate(task.unlabelled(size)).to(device)
