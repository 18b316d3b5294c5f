"""Training augmentations as data, and the views of a sample that they make.

A view is a sample changed at random: first its geometry, then the colours of its image. The first view is made of the
sample, every further one of the first, before its colours changed: so a prediction for the first can be carried
to another one by its `Window`.

Samples already have the network's input size. On NYUD-v2 with MTI-Net that size (480×640) is the native one, so this
is the order of the paper; elsewhere it only swaps a resize with a zoom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtlrepro.data.crop import Window, crop_sample, draw_window
from mtlrepro.data.draws import Draws
from mtlrepro.data.photometric import randaugment
from mtlrepro.data.sample import Sample, scaled
from mtlrepro.data.transforms import SCALES, flip_sample, zoom_sample
from mtlrepro.errors import SpecError, unknown

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

Tasks = Mapping[str, "Task"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training sample, in this order.

    Attributes:
        flip: mirrored left to right with probability 0.5.
        crop: cut at a random window and resized (`mtlrepro.data.crop`).
        zoom: zoomed in about the centre by 1, 1.2 or 1.5 (`mtlrepro.data.transforms.zoom_sample`).
        photometric: two colour operations (`mtlrepro.data.photometric`).
    """

    flip: bool = False
    crop: bool = False
    zoom: bool = False
    photometric: bool = False

    def check(self, count: int) -> None:
        """Raise a `SpecError` unless this makes `count` views of a sample."""
        if count > 1 and self.zoom:
            several = (name for name, augmentation in AUGMENTATIONS.items() if not augmentation.zoom)
            raise SpecError(
                f"an augmentation that zooms about the centre makes one view of a sample, {count} are asked for",
                field="data.augment",
                mend=f"Use one of: {', '.join(several)}",
            )


class _Augmentations(dict[str, Augmentation]):
    def __missing__(self, name: str) -> Augmentation:
        raise unknown("augmentation", name, self, field="data.augment")


AUGMENTATIONS: Mapping[str, Augmentation] = _Augmentations(
    none=Augmentation(),
    flip=Augmentation(flip=True),
    flip_photo=Augmentation(flip=True, photometric=True),
    flip_zoom=Augmentation(flip=True, zoom=True),  # MTI-Net, appendix A.2
    crop_photo=Augmentation(crop=True, photometric=True),  # JTR on NYU-v2, public reference implementation
    flip_crop_photo=Augmentation(flip=True, crop=True, photometric=True),  # and on Cityscapes
)
"""Name -> augmentation; an unknown name raises a `SpecError`."""


def make_views(
    sample: Sample, augmentation: Augmentation, tasks: Tasks, draws: Draws, count: int = 1, aligned: bool = False
) -> list[tuple[Sample, Window]]:
    """Random views of one sample. View k is the same however many views follow it.

    Of the further views only the first may be mirrored against view 0: the public implementation of JTR discards the
    flip of its third view.

    Args:
        sample: `image` and a label for each of `tasks`, of one size; it is not changed.
        augmentation: what may happen to it.
        tasks: the labels to keep.
        draws: where the random numbers come from.
        count: number of views.
        aligned: all further views show the same window, with colours of their own.

    Returns:
        (view, what it shows of view 0) for each view. The image of a view is float32 in [0, 1] if it was cropped or
        its colours changed, else of the sample's dtype. Views may share tensors with each other and with the sample.

    Raises:
        SpecError: this augmentation does not make several views.
    """
    augmentation.check(count)
    base, _ = _move(sample, augmentation, tasks, draws, augmentation.flip)
    if augmentation.zoom:
        base = zoom_sample(base, draws.choice(SCALES), tasks)
    views = [(_colour(base, augmentation, draws), Window.whole(base["image"].shape[-2:]))]
    for k in range(1, count):
        if k == 1 or not aligned:
            moved, window = _move(base, augmentation, tasks, draws, augmentation.flip and k == 1)
        views.append((_colour(moved, augmentation, draws), window))
    return views


def _move(
    sample: Sample, augmentation: Augmentation, tasks: Tasks, draws: Draws, may_flip: bool
) -> tuple[Sample, Window]:
    size = sample["image"].shape[-2:]
    flip = may_flip and draws.uniform() < 0.5
    if augmentation.crop:
        window = draw_window(size, draws, flip)
        return crop_sample(sample, window, tasks), window
    return (flip_sample(sample, tasks) if flip else sample), Window.whole(size, flip)


def _colour(sample: Sample, augmentation: Augmentation, draws: Draws) -> Sample:
    if not augmentation.photometric:
        return sample
    return {**sample, "image": randaugment(scaled(sample["image"]), draws)}
