"""How a picture of any size becomes a network's input, and which part of a prediction shows the picture.

| key    | training samples and evaluation images                           | predictions                            |
|--------|------------------------------------------------------------------|----------------------------------------|
| resize | bilinear, antialiased; the aspect ratio is not kept              | resized to the label's size            |
| cubic  | cubic without antialiasing, as OpenCV's; the ratio is not kept   | resized; class ids take OpenCV's pixel |
| pad    | as they are, in the middle of a larger canvas                    | cut out again: metrics at native size  |
| keep   | samples have the size already; evaluation images go in uncropped | resized if the label has another size  |

Labels of training samples are resized as `resize_sample` and, for "cubic", `resize_sample_cubic` tell. With "keep" the
augmentation cuts samples of the size that the reader resized them to, and evaluation sees whole pictures of that size.
The canvas has ImageNet's mean colour, which is exactly 0 once normalised ("imagenet"); labels are invalid there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from mtlrepro.data.sample import IMAGENET_MEAN, Sample, scaled
from mtlrepro.data.transforms.basic import in_dtype_of, renormalise, resize_image, resize_sample
from mtlrepro.data.transforms.geometry import axis_map, kept, moved_geometry, resized_geometry
from mtlrepro.data.transforms.rescale import resize_floored
from mtlrepro.errors import DataError

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task

Tasks = Mapping[str, "Task"]
Size = tuple[int, int]


def resize_cubic(image: Tensor, size: Size) -> Tensor:
    """(C, H, W), uint8 or float32 in [0, 1], to (C, *size), same dtype: cubic, half-pixel centres, no antialiasing."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return in_dtype_of(image, _cubic(image.float(), size))


def resize_sample_cubic(sample: Sample, size: Size, tasks: Tasks) -> Sample:
    """`image` (`resize_cubic`), the labels of `tasks` and the camera of a sample at (height, width), as in MTI-Net.

    Labels take OpenCV's nearest pixel (`mtlrepro.data.transforms.rescale.resize_floored`), thin edges too. Vectors are
    interpolated cubically and scaled back to unit length, and are invalid where the nearest pixel is. In the public
    reference implementation what is interpolated between valid and invalid vectors counts, too, and a rotation before
    this does not yet scale vectors back (`mtlrepro.data.transforms.affine`).
    """
    if tuple(sample["image"].shape[-2:]) == tuple(size):
        return kept(sample, tasks)
    labels = {
        name: (_vectors_cubic if task.resampling == "bilinear" else resize_floored)(sample[name], size)
        for name, task in tasks.items()
    }
    camera = resized_geometry(sample, size, resize_cubic, resize_floored)
    return {"image": resize_cubic(sample["image"], size), **labels, **camera}


def pad_image(image: Tensor, size: Size) -> Tensor:
    """(C, H, W), uint8 or float32 in [0, 1], C a multiple of 3, in the middle of a canvas of the mean colour.

    Returns:
        (C, *size) float32 in [0, 1]. Where an odd number of rows or columns is added, the smaller half comes first.

    Raises:
        DataError: the image is larger than the canvas.
    """
    top, left = _margins(image.shape[-2:], size)
    picture = scaled(image)
    canvas = picture.new_empty(len(image), *size)
    for channel, level in enumerate(IMAGENET_MEAN):
        canvas[channel::3] = level
    canvas[:, top : top + image.shape[-2], left : left + image.shape[-1]] = picture
    return canvas


def pad_sample(sample: Sample, size: Size, tasks: Tasks) -> Sample:
    """`image` (`pad_image`), the labels of `tasks` and the camera of a sample on a canvas of (height, width).

    Raises:
        DataError: the sample is larger than the canvas.
    """
    height, width = sample["image"].shape[-2:]
    top, left = _margins((height, width), size)
    sides = left, size[1] - width - left, top, size[0] - height - top
    out = {"image": pad_image(sample["image"], size)}
    for name, task in tasks.items():
        out[name] = F.pad(sample[name], sides, value=task.unlabelled((1, 1)).flatten()[0].item())
    pixel = axis_map((1.0, left), (1.0, top))
    return out | moved_geometry(sample, pixel, lambda m: pad_image(m, size), lambda m: F.pad(m, sides))


def cut_centre(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The part of maps (..., H, W) where `pad_image` puts a picture of (height, width)."""
    top, left = _margins(size, maps.shape[-2:])
    return maps[..., top : top + size[0], left : left + size[1]]


class Fit(NamedTuple):
    """One way to bring pictures to a network's input.

    Attributes:
        sample: (sample, size, tasks) -> `image`, labels of `tasks` and camera at that size, for training.
        image: (image, size) -> the image that is evaluated.
        prediction: (decoded maps at the input's size, native size) -> the part of the maps that shows the picture, of
            the native size where the fit has a rule of its own.
    """

    sample: Callable[[Sample, Size, Tasks], Sample]
    image: Callable[[Tensor, Size], Tensor]
    prediction: Callable[[Tensor, Sequence[int]], Tensor]


def _cubic(maps: Tensor, size: Size) -> Tensor:
    return F.interpolate(maps[None], size=tuple(size), mode="bicubic", align_corners=False)[0]


def _vectors_cubic(label: Tensor, size: Size) -> Tensor:
    return renormalise(_cubic(label, size), resize_floored((label != 0).any(0), size))


def _ids_floored(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Class ids at the native size by the rule that labels were brought here by; other maps as they are."""
    return maps if maps.is_floating_point() else resize_floored(maps, size)


def _of_size(sample: Sample, size: Size, tasks: Tasks) -> Sample:
    found = tuple(sample["image"].shape[-2:])
    if found != tuple(size):
        mend = "Give data.size and the augmentation so that every sample ends at that size"
        raise DataError(f"a sample of {_text(found)} where {_text(size)} is trained", field="data.size", mend=mend)
    return kept(sample, tasks)


def _whole(maps: Tensor, size: Sequence[int]) -> Tensor:
    return maps


FITS: dict[str, Fit] = dict(
    resize=Fit(resize_sample, resize_image, _whole),
    cubic=Fit(resize_sample_cubic, resize_cubic, _ids_floored),
    pad=Fit(pad_sample, pad_image, cut_centre),
    keep=Fit(_of_size, _whole, _whole),
)
"""What `Augmentation.fit` names."""


def _margins(inner: Sequence[int], outer: Sequence[int]) -> Size:
    """Rows above and columns left of a picture in the middle of a canvas."""
    (h, w), (height, width) = inner, outer
    if h > height or w > width:
        mend = "Padding only enlarges: set data.size to the size of the largest picture at least"
        raise DataError(f"a picture of {_text(inner)} on a canvas of {_text(outer)}", field="data.size", mend=mend)
    return (height - h) // 2, (width - w) // 2


def _text(size: Sequence[int]) -> str:
    return "×".join(map(str, size))
