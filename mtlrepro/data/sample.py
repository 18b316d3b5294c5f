"""The sample and batch contracts: what a dataset yields and what a model is trained on.

Invalid pixels are encoded here once, in the target itself:

| task     | sample tensor          | batch target            | invalid                |
|----------|------------------------|-------------------------|------------------------|
| semseg   | (H, W) uint8           | (B, H, W) int64         | 255                    |
| parts    | (H, W) uint8, 0 to 6   | (B, H, W) int64         | 255                    |
| saliency | (H, W) uint8, {0, 1}   | (B, 1, H, W) float32    | 255                    |
| depth    | (H, W) float32, metres | (B, 1, H, W) float32    | 0                      |
| normals  | (3, H, W) float32      | (B, 3, H, W) float32    | (0, 0, 0)              |
| edges    | (H, W) uint8, {0, 1}   | (B, 1, H, W) float32    | 255                    |
| maps     | (H, W) float32         | (B, 1, H, W) float32    | NaN                    |

Parts are 0 background, 1 head, 2 torso, 3 upper arm, 4 lower arm, 5 upper leg, 6 lower leg of persons; where a label
has no part at all it is 255 everywhere. Depth is inverse depth, without unit, where `DatasetInfo.inverse_depth` says
so. Maps are the standardised ones of Taskonomy: occlusion, reshading, keypoints and texture.
Normals are unit vectors in the camera frame, x right, y down, in one of two conventions, which a dataset keeps
throughout: with z forward they face the camera where z is negative (scenes and streets, and what the package derives
for indoor datasets; released normals are as stored); those that readers derive from depth as DenseMTL does (Cityscapes,
Synthia, Virtual KITTI 2; `mtlrepro.data.surface`) have z towards the camera, never negative. Angular errors are those
of one convention. Which sample keys a batch turns into targets, and how, is each task's `collate` (see
`mtlrepro.tasks`).

One key is for evaluation alone: `segments` (H, W) int32, ids of any regions, 255 unknown. Where a sample has it, the
boundary figures odsF are judged by its contour, and by that of `edges` elsewhere; no other figure changes.

A camera, in datasets that have one (`mtlrepro.data.transforms.geometry`), is no task:

| key         | sample and, with a first axis B, batch                                                                |
|-------------|-------------------------------------------------------------------------------------------------------|
| intrinsics  | (3, 3) float32 for the sample's size, the centre of the first pixel at (0.5, 0.5)                     |
| placement   | (3, 3) float32, coordinates in the full-resolution picture to those here (see `DatasetInfo.full_size`) |
| frames      | (K, 3, H, W) neighbouring frames, dtype and range as `image`                                          |
| frame_depth | (K, H, W) float32, metres, 0 invalid                                                                  |
| motion      | (K, 4, 4) float32, camera coordinates of this frame to those of frame k: x right, y down, z forward   |
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from mtlrepro.errors import unknown

if TYPE_CHECKING:
    from mtlrepro.data.transforms.crop import Window
    from mtlrepro.tasks.base import Task

Sample = dict[str, Tensor]
"""`image` (3, H, W) RGB, uint8 or float32 in [0, 1], plus one tensor per labelled task as in the table above, all of
one size."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CENTRE, SPREAD = 0.45, 0.225


@dataclass(frozen=True)
class DatasetInfo:
    """What a model, a metric and a picture need to know about a dataset.

    Attributes:
        name: the dataset's key, as in suite file names ("nyuv2", "scenes" ...).
        tasks: tasks that every sample carries.
        class_names: names of the semantic classes, in id order; their number is the number of semseg channels.
        palette: RGB 0..255 per class, same order, for pictures.
        max_depth: depth shown as the far end of the colour map, in the label's unit.
        edge_tolerance: how far a predicted boundary may be off, as a fraction of the image diagonal.
        inverse_depth: depth labels are inverse depth, not metres.
        surface: the rule by which normals were made of depth (`mtlrepro.data.surface.RULES`), "" where they were not.
        full_size: (height, width) of the picture that a released camera belongs to; (0, 0) where there is none.
    """

    name: str
    tasks: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    max_depth: float = 10.0
    edge_tolerance: float = 0.0075
    inverse_depth: bool = False
    surface: str = ""
    full_size: tuple[int, int] = (0, 0)


@runtime_checkable
class Dataset(Protocol):
    """One split of one dataset. Labels keep their native size; `image` and labels of a sample share it."""

    @property
    def info(self) -> DatasetInfo:
        """What models, metrics and pictures need to know."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def digest(self) -> str:
        """Hex digest of everything that can change a sample: files' contents, or generator and parameters."""
        ...


@dataclass
class View:
    """A further view of a batch's samples, for objectives that compare predictions.

    Attributes:
        image: (B, 3, H, W), as the batch's.
        targets: task -> tensor as in the module's table, seen from this view.
        windows: what of the first view it shows, one a sample.
    """

    image: Tensor
    targets: dict[str, Tensor]
    windows: tuple[Window, ...]

    def to(self, device: torch.device | str) -> View:
        """The same view on another device."""
        return View(moved(self.image, device), {k: moved(v, device) for k, v in self.targets.items()}, self.windows)


@dataclass
class Batch:
    """A training or evaluation batch.

    Attributes:
        image: (B, 3, H, W) float32, normalised as `DataSpec.normalise` says.
        targets: task -> tensor as in the module's table; all invalid where the sample carries no label.
        labelled: task -> (B,) bool, False where the sample carries no label for the task.
        index: (B,) int64 positions in the dataset.
        others: further views of the same samples, as many as the objective asked for.
        geometry: key of the module's second table -> tensor, for the keys that every sample carries; mostly empty.
        normalise: key of `NORMALISE` by which the images were normalised, "" where nobody said.
        extra: how many of the samples, the last ones, are of the second stream.
        beside: as `geometry`, of the second stream's samples alone: for the keys that each of them carries.
    """

    image: Tensor
    targets: dict[str, Tensor]
    labelled: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    others: tuple[View, ...] = ()
    geometry: dict[str, Tensor] = field(default_factory=dict)
    normalise: str = ""
    extra: int = 0
    beside: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            moved(self.image, device),
            {k: moved(v, device) for k, v in self.targets.items()},
            self.labelled,  # read on the host to select samples: on the device every step would wait for it
            self.index,
            tuple(view.to(device) for view in self.others),
            {k: moved(v, device) for k, v in self.geometry.items()},
            self.normalise,
            self.extra,
            {k: moved(v, device) for k, v in self.beside.items()},
        )


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device, which is not waited for: places of a few samples would cost as much as all work before.

    Copied to the host it is there only when the device has come so far.
    """
    return tensor.to(device, non_blocking=True)


def scaled(image: Tensor) -> Tensor:
    """RGB (..., 3, H, W), uint8 or float32 in [0, 1], to float32 in [0, 1]."""
    return image.to(torch.float32, copy=True).div_(255.0) if image.dtype == torch.uint8 else image


def normalise(image: Tensor) -> Tensor:
    """RGB (..., 3, H, W), uint8 or float32 in [0, 1], to float32 with ImageNet mean 0 and deviation 1."""
    mean, std = _by_channel(IMAGENET_MEAN, image.device), _by_channel(IMAGENET_STD, image.device)
    if image.dtype != torch.uint8:
        return (image - mean) / std
    # In place: at 480×640 the allocation of temporaries costs several times the arithmetic.
    return image.to(torch.float32, copy=True).div_(255.0).sub_(mean).div_(std)


@functools.lru_cache(maxsize=16)
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)  # made once: to make it is to wait for a GPU


def centred(image: Tensor) -> Tensor:
    """RGB (..., 3, H, W), uint8 or float32 in [0, 1], to float32 (x - 0.45) / 0.225, as DenseMTL's networks take it."""
    return (scaled(image) - CENTRE) / SPREAD


NORMALISE: dict[str, Callable[[Tensor], Tensor]] = {"imagenet": normalise, "none": scaled, "centred": centred}
"""What a network's input is, by `DataSpec.normalise`."""

RESTORE: dict[str, Callable[[Tensor], Tensor]] = {
    "imagenet": lambda x: x * _by_channel(IMAGENET_STD, x.device) + _by_channel(IMAGENET_MEAN, x.device),
    "none": lambda x: x,
    "centred": lambda x: x * SPREAD + CENTRE,
}
"""The inverse of each of `NORMALISE`, to RGB in [0, 1]."""


def restored(image: Tensor, name: str) -> Tensor:
    """RGB in [0, 1] of a network's input (..., 3, H, W) under a key of `NORMALISE` (SpecError for an unknown one)."""
    normaliser(name)
    return RESTORE[name](image)


def normaliser(name: str) -> Callable[[Tensor], Tensor]:
    """The function behind a key of `NORMALISE` (SpecError for an unknown one)."""
    if name not in NORMALISE:
        raise unknown("normalisation", name, NORMALISE, field="data.normalise")
    return NORMALISE[name]


def stack(
    samples: Sequence[Sample], tasks: Mapping[str, Task], prepare: Callable[[Tensor], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Images and targets of samples of one size; every sample carries a label of every task, if only an invalid one.

    Labels in the host's memory are checked (`Task.collate`). Those on a device are taken to be valid: the host would
    have to wait for it.
    """
    image = prepare(torch.stack([s["image"] for s in samples]))
    if image.device.type == "cpu":
        return image, {name: torch.stack([task.collate(s[name]) for s in samples]) for name, task in tasks.items()}
    return image, {name: as_targets(task, torch.stack([s[name] for s in samples])) for name, task in tasks.items()}


def as_targets(task: Task, labels: Tensor) -> Tensor:
    """What `Task.collate` makes of each of the valid labels (B, ..., H, W): another dtype, a channel axis, `settle`."""
    target = task.collate(task.unlabelled((1, 1)))
    return task.settle(labels.to(target.dtype).view(len(labels), *target.shape[:-2], *labels.shape[-2:]))
