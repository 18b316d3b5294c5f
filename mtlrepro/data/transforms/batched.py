"""Views of all samples of a batch at once, for samples that are kept on a GPU.

What a small kernel costs there is its launch, and one sample after the other launches as many for each. So the host
draws what happens to every sample (`augment.draw_changes`: the numbers and the order of one sample after the other),
copies a few whole numbers a sample to the device, and every image and label of the batch is read from its places in one
go. In all of these changes rows and columns are independent, so a sample's places and weights are two vectors.

Class ids, masks, depth and all else that takes the nearest pixel come out exactly as `augment.make_views` makes them on
a CPU, and so do zoomed images and vectors. What a crop interpolates has the same places and weights, but is added up in
another order than in `F.interpolate` and differs in a last digit; `batched_colours` says the same of colours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mtlrepro.data.sample import Sample, moved, scaled
from mtlrepro.data.transforms.augment import AUGMENTATIONS, Augmentation, Change
from mtlrepro.data.transforms.basic import SCALES, in_dtype_of, renormalise, zoom_sources
from mtlrepro.data.transforms.batched_colours import recoloured_together
from mtlrepro.data.transforms.geometry import GEOMETRY

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

BATCHED = frozenset(AUGMENTATIONS[name] for name in ("flip_zoom", "crop_photo", "flip_crop_photo"))
"""Augmentations with a batched form. What only mirrors has none: half of the samples are left alone, which is less work
than places for all. Native samples have none either: each has a size of its own."""

Maps = dict[str, Tensor]
"""`image` and labels of a batch, (B, ..., H, W) each."""


def fits_together(samples: Sequence[Sample]) -> bool:
    """Whether samples can be augmented together: their images have one dtype, and none of them has a camera."""
    cameras = any(name in sample for sample in samples for name in GEOMETRY)
    return not cameras and len({sample["image"].dtype for sample in samples}) == 1


def views_together(
    samples: Sequence[Sample],
    augmentation: Augmentation,
    tasks: Mapping[str, Task],
    changes: Sequence[Sequence[Change]],
) -> list[Maps]:
    """The views that `augment.make_views` makes of each of some samples, stacked.

    Args:
        samples: `image` and a label for each of `tasks`, all of one size and on one device, that `fits_together`; they
            are not changed.
        augmentation: one of `BATCHED`.
        tasks: the labels to keep.
        changes: of each sample, one a view.

    Returns:
        For each view `image`, uint8 or float32 in [0, 1], and labels in sample form, with an axis B before the others.
    """
    base = {name: torch.stack([sample[name] for sample in samples]) for name in ("image", *tasks)}
    by_view = list(zip(*changes, strict=True))
    views = [_seen(base, augmentation, tasks, by_view[0])]
    views += [_seen(views[0], augmentation, tasks, view) for view in by_view[1:]]
    if not augmentation.photometric:
        return views
    # Those of all views together: the more images there are, the more of them share an operation.
    images = [image for view in views for image in scaled(view["image"])]
    coloured = recoloured_together(images, [change.colours for view in by_view for change in view])
    return [{**view, "image": part} for view, part in zip(views, coloured.split(len(samples)), strict=True)]


def _seen(maps: Maps, augmentation: Augmentation, tasks: Mapping[str, Task], changes: Sequence[Change]) -> Maps:
    """A batch as the view shows it whose changes are given, its colours left alone."""
    image, labels = maps["image"], {name: maps[name] for name in tasks}
    places = _Places(changes, augmentation.zoom, image.shape[-2:], image.device)
    if any(change.window.flip for change in changes):
        for name, task in tasks.items():
            mirrored = task.mirror_values(labels[name])
            if mirrored is not labels[name]:
                labels[name] = torch.where(_beside(places.flips, mirrored), mirrored, labels[name])
    image = scaled(image) if augmentation.crop else image
    vectors = [name for name, task in tasks.items() if task.resampling == "bilinear"]
    stacked = torch.cat([image.float(), *(labels[name] for name in vectors)], 1)
    parts = places.interpolated(stacked).split([3, *(labels[name].shape[1] for name in vectors)], 1)
    fields = dict(zip(vectors, parts[1:], strict=True))
    out = {"image": in_dtype_of(image, parts[0]) if augmentation.zoom else parts[0]}
    for name, task in tasks.items():
        value = places.unit(labels[name], fields[name]) if name in fields else places.nearest(labels[name])
        out[name] = task.zoom_values(value, _beside(places.scales, value))
    return out


class _Axis(NamedTuple):
    """Where n pixels along one axis are read, for each of the S factors of `SCALES`.

    Attributes:
        places: (S, 3, n) int64, the nearest pixel, then the two that a pixel is interpolated of.
        weights: (S, 2, n) float32, of the two.
    """

    places: Tensor
    weights: Tensor


@functools.lru_cache(maxsize=32)
def _axis(n: int, zoom: bool, device: torch.device) -> _Axis:
    parts = [_zoom_axis(n, scale) if zoom else _crop_axis(n, scale) for scale in SCALES]
    places, weights = (torch.stack(of_scale) for of_scale in zip(*parts, strict=True))
    return _Axis(places.to(device), weights.to(device))


def _zoom_axis(n: int, scale: float) -> tuple[Tensor, Tensor]:
    """As `basic.zoom_sample` reads."""
    sources = zoom_sources(n, scale)
    low = [math.floor(source) for source in sources]
    weight = torch.tensor([float(source - floor) for source, floor in zip(sources, low, strict=True)])
    high = [min(floor + 1, n - 1) for floor in low]
    return torch.tensor([[round(source) for source in sources], low, high]), torch.stack([1 - weight, weight])


def _crop_axis(n: int, scale: float) -> tuple[Tensor, Tensor]:
    """As `crop.crop_sample` reads a cut that begins at 0; the sources of `F.interpolate` in its single precision."""
    part, pixels = int(n / scale), torch.arange(n)
    source = pixels * (torch.tensor(part - 1.0) / max(n - 1, 1))
    low = source.long()
    weight = source - low
    return torch.stack([pixels * part // n, low, (low + 1).clamp_max(part - 1)]), torch.stack([1 - weight, weight])


class _Places:
    """Where the samples of a batch are read.

    Attributes:
        flips: (B,) bool.
        scales: (B,) float32.
    """

    def __init__(self, changes: Sequence[Change], zoom: bool, size: Sequence[int], device: torch.device):
        drawn = [(SCALES.index(c.zoom * c.window.scale), c.window.top, c.window.left, c.window.flip) for c in changes]
        numbers, top, left, flips = moved(torch.tensor(drawn, dtype=torch.int64), device).unbind(1)
        self.flips, self.scales = flips.bool(), _scales(device).index_select(0, numbers)
        self._grown = numbers > 0
        w, axes = size[1], [_axis(n, zoom, device) for n in size]
        self.row_weights, self.column_weights = (axis.weights.index_select(0, numbers) for axis in axes)
        rows, columns = (axis.places.index_select(0, numbers) for axis in axes)
        rows, columns = rows + _beside(top, rows), columns + _beside(left, columns)
        columns = torch.where(_beside(self.flips, columns), w - 1 - columns, columns)
        self._nearest = (rows[:, 0, :, None] * w + columns[:, 0, None]).flatten(1)
        self.rows, self.columns = rows[:, 1:].flatten(1), columns[:, 1:].flatten(1)

    def nearest(self, maps: Tensor) -> Tensor:
        """Maps (B, ..., H, W) of any dtype, each pixel the nearest one's."""
        flat = maps.flatten(-2)
        return flat.gather(-1, _beside(self._nearest, flat, 1).expand_as(flat)).view_as(maps)

    def interpolated(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) float32, each pixel a mixture of two rows' mixtures of two pixels."""
        channels, width = maps.shape[1], maps.shape[-1]
        index = self.rows[:, None, :, None].expand(-1, channels, -1, width)
        first, second = maps.gather(2, index).mul_(self.row_weights.flatten(1)[:, None, :, None]).chunk(2, 2)
        maps = first + second
        index = self.columns[:, None, None].expand(-1, channels, maps.shape[2], -1)
        first, second = maps.gather(3, index).mul_(self.column_weights.flatten(1)[:, None, None]).chunk(2, 3)
        return first + second

    def unit(self, vectors: Tensor, field: Tensor) -> Tensor:
        """Interpolated vectors (B, 3, H, W) at unit length; (0, 0, 0), invalid, where the nearest of `vectors` is."""
        valid = self.nearest((vectors != 0).any(1))
        units = renormalise(field.transpose(0, 1), valid).transpose(0, 1)
        return torch.where(_beside(self._grown, field), units, field)  # whole ones are as they were, unit or not


@functools.lru_cache(maxsize=8)
def _scales(device: torch.device) -> Tensor:
    return torch.tensor(SCALES, device=device)


def _beside(values: Tensor, maps: Tensor, after: int = 0) -> Tensor:
    """Values (B, ...) of a batch's samples in the form in which they go with maps (B, ..., ...)."""
    return values.view(len(values), *[1] * (maps.ndim - 1 - after), *values.shape[1:])
