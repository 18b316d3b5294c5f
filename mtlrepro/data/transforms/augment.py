"""Training augmentations as data, and the views of a sample that they make.

A view is a sample changed at random. There are two kinds of augmentation:

- Of samples that already have the network's input size: first their geometry, then the colours of the image. They can
  make several views: the first is made of the sample, every further one of the first, before its colours changed: so a
  prediction for the first can be carried to another one by its `Window`. On NYUD-v2 with MTI-Net the network's size
  (480×640) is the native one, so this is the order of the paper; elsewhere it only swaps a resize with a zoom.
- Of `native` samples, as the dataset delivers them: steps in the order of the paper, and at the end a fit to the
  network's input size (`mtlrepro.data.transforms.fit`), which evaluation follows. They make one view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import Sample, scaled
from mtlrepro.data.transforms import affine, rescale
from mtlrepro.data.transforms.basic import SCALES, flip_sample, zoom_sample
from mtlrepro.data.transforms.crop import Window, crop_sample, draw_window
from mtlrepro.data.transforms.cut import cut_sample, draw_place
from mtlrepro.data.transforms.distort import distort
from mtlrepro.data.transforms.fit import FITS
from mtlrepro.data.transforms.geometry import kept
from mtlrepro.data.transforms.photometric import Colours, draw_colours, recoloured
from mtlrepro.errors import SpecError, unknown

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

Tasks = Mapping[str, "Task"]
Step = Callable[[Sample, tuple[int, int], Tasks, Draws], Sample]
"""(native sample, network's input size, tasks, draws) -> changed sample with the labels of the tasks and the camera."""


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training sample, in this order.

    Attributes:
        flip: mirrored left to right with probability 0.5.
        crop: cut at a random window and resized (`mtlrepro.data.transforms.crop`).
        zoom: zoomed in about the centre by 1, 1.2 or 1.5 (`mtlrepro.data.transforms.basic.zoom_sample`).
        photometric: two colour operations (`mtlrepro.data.transforms.photometric`).
        steps: changes of the native sample, one after the other, in place of the four above.
        fit: how samples and evaluation images get the network's input size, a key of `fit.FITS`.
    """

    flip: bool = False
    crop: bool = False
    zoom: bool = False
    photometric: bool = False
    steps: tuple[Step, ...] = ()
    fit: str = "resize"

    @property
    def native(self) -> bool:
        """Whether samples come as the dataset delivers them, not at the network's input size."""
        return bool(self.steps) or self.fit != "resize"

    def check(self, count: int) -> None:
        """Raise a `SpecError` unless this makes `count` views of a sample."""
        if count > 1 and not self._several:
            several = (name for name, augmentation in AUGMENTATIONS.items() if augmentation._several)
            kind = "of native samples" if self.native else "that zooms about the centre"
            raise SpecError(
                f"an augmentation {kind} makes one view of a sample, {count} are asked for",
                field="data.augment",
                mend=f"Use one of: {', '.join(several)}",
            )

    @property
    def _several(self) -> bool:
        return not (self.zoom or self.native)


def random_flip(sample: Sample, size: tuple[int, int], tasks: Tasks, draws: Draws) -> Sample:
    """Mirrored left to right with probability 0.5; a `Step`."""
    return flip_sample(sample, tasks) if draws.uniform() < 0.5 else kept(sample, tasks)


def random_rotation(sample: Sample, size: tuple[int, int], tasks: Tasks, draws: Draws) -> Sample:
    """Rotated by -20° to 20° and scaled by 0.75 to 1.25 (`mtlrepro.data.transforms.affine`); a `Step`."""
    degrees, scale = (low + (high - low) * draws.uniform() for low, high in (affine.DEGREES, affine.FACTORS))
    return affine.rotate_sample(sample, degrees, scale, tasks)


def random_rescale_cut(sample: Sample, size: tuple[int, int], tasks: Tasks, draws: Draws) -> Sample:
    """Rescaled by 0.5 to 2, then cut so that the classes vary (`mtlrepro.data.transforms.rescale`, `.cut`); a `Step`.

    Classes are judged where the sample knows them, whether `semseg` is a task or not.
    """
    low, high = rescale.FACTORS
    moved = rescale.rescale_sample(sample, low + (high - low) * draws.uniform(), tasks)
    available, classes = moved["image"].shape[-2:], moved.get("semseg")
    if classes is None and "semseg" in sample:
        classes = rescale.resize_floored(sample["semseg"], available)
    return cut_sample(moved, draw_place(available, size, draws, classes), size, tasks)


def random_cut(sample: Sample, size: tuple[int, int], tasks: Tasks, draws: Draws) -> Sample:
    """Cut to the network's input size at a random place; a `Step`.

    Raises:
        SpecError: the sample has that size already, because its reader took it for want of another one.
    """
    available = sample["image"].shape[-2:]
    if tuple(available) == tuple(size):
        problem = f"samples have the network's size, {size[0]}×{size[1]}, before they are cut to it"
        mend = "Give options size = [512, 1024], what pictures are resized to before the cut"
        raise SpecError(problem, field="data.options", mend=mend)
    return cut_sample(sample, draw_place(available, size, draws), size, tasks)


def random_colours(sample: Sample, size: tuple[int, int], tasks: Tasks, draws: Draws) -> Sample:
    """Brightness, contrast, saturation and hue of the image (`mtlrepro.data.transforms.distort`); a `Step`."""
    return {**kept(sample, tasks), "image": distort(sample["image"], draws)}


class _Augmentations(dict[str, Augmentation]):
    def __missing__(self, name: str) -> Augmentation:
        raise unknown("augmentation", name, self, field="data.augment")


_SCALE_FLIP_DISTORT = (random_rescale_cut, random_flip, random_colours)

AUGMENTATIONS: Mapping[str, Augmentation] = _Augmentations(
    none=Augmentation(),
    flip=Augmentation(flip=True),  # DenseMTL, supervised
    flip_photo=Augmentation(flip=True, photometric=True),
    # MTI-Net, appendix A.2. MT-CP on NYUD-v2 too, but for its cubic image and its normals of the nearest pixel.
    flip_zoom=Augmentation(flip=True, zoom=True),
    crop_photo=Augmentation(crop=True, photometric=True),  # JTR on NYU-v2, public reference implementation
    flip_crop_photo=Augmentation(flip=True, crop=True, photometric=True),  # and on Cityscapes
    # MTI-Net on PASCAL-Context. MT-CP too, but for its normals of the nearest pixel.
    flip_rotate=Augmentation(steps=(random_flip, random_rotation), fit="cubic"),
    scale_flip_distort=Augmentation(steps=_SCALE_FLIP_DISTORT, fit="pad"),  # InvPT, ATRC, 3D-aware
    distort=Augmentation(steps=(random_colours,), fit="pad"),  # video frames of the 3D-aware regulariser
    # The same for networks with a smaller input than pictures are, which cannot be padded: rehearsals.
    scale_flip_distort_small=Augmentation(steps=_SCALE_FLIP_DISTORT),
    distort_small=Augmentation(steps=(random_colours,)),
    flip_cut=Augmentation(
        steps=(random_cut, random_flip), fit="keep"
    ),  # DenseMTL, self-supervised depth and domain adaptation
)
"""Name -> augmentation; an unknown name raises a `SpecError`."""


def make_views(
    sample: Sample,
    augmentation: Augmentation,
    tasks: Tasks,
    draws: Draws,
    count: int = 1,
    aligned: bool = False,
    size: tuple[int, int] | None = None,
) -> list[tuple[Sample, Window]]:
    """Random views of one sample. View k is the same however many views follow it.

    Of the further views only the first may be mirrored against view 0: the public implementation of JTR discards the
    flip of its third view.

    Args:
        sample: `image` and a label for each of `tasks`, of one size, and what it has of
            `mtlrepro.data.transforms.geometry.GEOMETRY`; it is not changed.
        augmentation: what may happen to it.
        tasks: the labels to keep.
        draws: where the random numbers come from.
        count: number of views.
        aligned: all further views show the same window, with colours of their own.
        size: the network's input (height, width), by default the sample's size; a sample has any other size only if
            the augmentation is `native`.

    Returns:
        (view, what it shows of view 0) for each view, all of the network's input size, with the camera as it is then.
        The image of a view is float32 in [0, 1] if it was cropped, rotated or padded or its colours changed, else of
        the sample's dtype. Views may share tensors with each other and with the sample.

    Raises:
        SpecError: this augmentation does not make several views, or cuts samples that have the network's size.
        DataError: a native sample does not fit the network's input size.
    """
    augmentation.check(count)
    if augmentation.native:
        size = size or (sample["image"].shape[-2], sample["image"].shape[-1])
        for step in augmentation.steps:
            sample = step(sample, size, tasks, draws)
        return [(FITS[augmentation.fit].sample(sample, size, tasks), Window.whole(size))]
    found = sample["image"].shape[-2:]
    first, *others = draw_changes(augmentation, found, draws, count, aligned)
    base = _moved(sample, augmentation, first, tasks)
    if augmentation.zoom:
        base = zoom_sample(base, first.zoom, tasks)
    views, shown = [(_coloured(base, first), Window.whole(found))], None
    for change in others:
        if change.window is not shown:
            moved, shown = _moved(base, augmentation, change, tasks), change.window
        views.append((_coloured(moved, change), change.window))
    return views


class Change(NamedTuple):
    """What makes one view, of a sample or of the view that it is made of.

    Attributes:
        window: what it shows; all of it, mirrored or not, where nothing is cropped.
        zoom: by how much it is zoomed in about the centre after that.
        colours: what its colours go through at last; none is no operation at all.
    """

    window: Window
    zoom: float
    colours: Colours


def draw_changes(
    augmentation: Augmentation, size: Sequence[int], draws: Draws, count: int, aligned: bool
) -> list[Change]:
    """The changes that make the views of a sample, the first one of the sample, the others of the first view.

    Args:
        augmentation: one that is not `native`.
        size: (height, width) of the sample.
        draws: where the random numbers come from: those of a view after those of the views before it.
        count: number of views.
        aligned: see `make_views`; the windows of all further views are then one object.
    """
    changes: list[Change] = []
    for k in range(count):
        if k < 2 or not aligned:
            flip = augmentation.flip and k < 2 and draws.uniform() < 0.5
            window = draw_window(size, draws, flip) if augmentation.crop else Window.whole(size, flip)
        zoom = draws.choice(SCALES) if augmentation.zoom else 1.0
        changes.append(Change(window, zoom, draw_colours(draws) if augmentation.photometric else ()))
    return changes


def _moved(sample: Sample, augmentation: Augmentation, change: Change, tasks: Tasks) -> Sample:
    if augmentation.crop:
        return crop_sample(sample, change.window, tasks)
    return flip_sample(sample, tasks) if change.window.flip else sample


def _coloured(sample: Sample, change: Change) -> Sample:
    if not change.colours:
        return sample
    return {**sample, "image": recoloured(scaled(sample["image"]), change.colours)}
