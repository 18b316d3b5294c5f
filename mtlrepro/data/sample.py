"""The sample and batch contracts: what a dataset yields and what a model is trained on.

Invalid pixels are encoded here once, in the target itself:

| task    | sample tensor          | batch target            | invalid                |
|---------|------------------------|-------------------------|------------------------|
| semseg  | (H, W) uint8           | (B, H, W) int64         | 255                    |
| depth   | (H, W) float32, metres | (B, 1, H, W) float32    | 0                      |
| normals | (3, H, W) float32      | (B, 3, H, W) float32    | (0, 0, 0)              |
| edges   | (H, W) uint8, {0, 1}   | (B, 1, H, W) float32    | 255                    |

Normals are unit vectors in the camera frame (x right, y down, z forward), facing the camera. Which sample
keys a batch turns into targets, and how, is each task's `collate` (see `mtlrepro.tasks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

Sample = dict[str, Tensor]
"""`image` (3, H, W) uint8 RGB, plus one tensor per labelled task as in the table above, all of one size."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DatasetInfo:
    """What a model, a metric and a picture need to know about a dataset.

    Attributes:
        name: the dataset's key, as in suite file names ("nyuv2", "scenes" ...).
        tasks: tasks that every sample carries.
        class_names: names of the semantic classes, in id order; their number is the number of semseg channels.
        palette: RGB 0..255 per class, same order, for pictures.
        max_depth: metres shown as the far end of the colour map.
        edge_tolerance: how far a predicted boundary may be off, as a fraction of the image diagonal.
    """

    name: str
    tasks: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    max_depth: float = 10.0
    edge_tolerance: float = 0.0075


@runtime_checkable
class Dataset(Protocol):
    """One split of one dataset. Labels keep their native size; `image` and labels of a sample share it."""

    info: DatasetInfo

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def digest(self) -> str:
        """Hex digest of everything that can change a sample: files' contents, or generator and parameters."""
        ...


@dataclass
class Batch:
    """A training or evaluation batch.

    Attributes:
        image: (B, 3, H, W) float32, normalised with the ImageNet mean and deviation.
        targets: task -> tensor as in the module's table.
        labelled: task -> (B,) bool, False where the sample carries no label for the task.
        index: (B,) int64 positions in the dataset.
    """

    image: Tensor
    targets: dict[str, Tensor]
    labelled: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.image.to(device, non_blocking=True),
            {k: v.to(device, non_blocking=True) for k, v in self.targets.items()},
            self.labelled,  # read on the host to select samples: on the device every step would wait for it
            self.index,
        )


def normalise(image: Tensor) -> Tensor:
    """uint8 RGB (..., 3, H, W) to float32 with ImageNet mean 0 and deviation 1."""
    mean = torch.tensor(IMAGENET_MEAN, device=image.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=image.device).view(3, 1, 1)
    # In place: at 480×640 the allocation of temporaries costs several times the arithmetic.
    return image.to(torch.float32, copy=True).div_(255.0).sub_(mean).div_(std)


def collate(samples: Sequence[Sample], tasks: Mapping[str, object], indices: Sequence[int]) -> Batch:
    """Stack samples of one size into a batch with the targets of `tasks` (name -> `Task`)."""
    return Batch(
        image=normalise(torch.stack([s["image"] for s in samples])),
        targets={name: torch.stack([task.collate(s[name]) for s in samples]) for name, task in tasks.items()},  # type: ignore[attr-defined]
        labelled={name: torch.ones(len(samples), dtype=torch.bool) for name in tasks},
        index=torch.as_tensor(list(indices)),
    )
