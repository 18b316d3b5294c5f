"""The colour operations of `mtlrepro.data.transforms.photometric`, on many images at once.

Images that go through the same operation go through it together, each with its own value, so that a GPU gets some
kernels an operation and not some an image. Values are those of the operations on one image, computed in the same order;
sums and fused products may differ in a last digit. Where a later operation cuts values off to 8 bits, such a digit may
become a level of 255.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from mtlrepro.data.sample import moved
from mtlrepro.data.transforms.photometric import OPERATIONS, Colours, in_bytes, sharpened


class Together(NamedTuple):
    """An operation whose value may differ from image to image.

    Attributes:
        apply: (images (B, 3, H, W) float32 in [0, 1], parameters (B, 1, 1, 1) float64) -> images.
        parameter: the parameter of a value.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    parameter: Callable[[float], float]


def recoloured_together(images: Sequence[Tensor], colours: Sequence[Colours]) -> Tensor:
    """What `photometric.recoloured` makes of each of some images, with as many operations on each.

    Args:
        images: float32 (3, H, W) in [0, 1] each; they are not changed.
        colours: the operations of each.

    Returns:
        (B, 3, H, W) float32 in [0, 1].
    """
    images = list(images)
    turns = [_by_operation(drawn) for drawn in zip(*colours, strict=True)]
    # All parameters in one copy: each copy costs a GPU as much as an operation.
    values = [value for turn in turns for name, members in turn for _, value in members]
    sizes = [len(members) for turn in turns for _, members in turn]
    parameters = iter(moved(torch.tensor(values, dtype=torch.float64), images[0].device).view(-1, 1, 1, 1).split(sizes))
    for name, members in itertools.chain.from_iterable(turns):
        places = [place for place, _ in members]
        changed = TOGETHER[name].apply(torch.stack([images[place] for place in places]), next(parameters))
        for place, image in zip(places, changed.unbind(), strict=True):
            images[place] = image
    return torch.stack(images)


def _by_operation(drawn: Sequence[tuple[str, float]]) -> list[tuple[str, list[tuple[int, float]]]]:
    """The operations that change something, each with the places and parameters of its images."""
    members: dict[str, list[tuple[int, float]]] = {name: [] for name in TOGETHER}
    for place, (name, value) in enumerate(drawn):
        if name in TOGETHER:
            members[name].append((place, TOGETHER[name].parameter(value)))
    return [(name, found) for name, found in members.items() if found]


def _blended(images: Tensor, others: Tensor, ratio: Tensor) -> Tensor:
    """The images' share `ratio` and the others' rest, rounded as one number's fused product and sum are."""
    rest = others.double() * (1 - ratio).float()
    return images.mul(ratio.float()).double().add(rest).float().clamp_(0, 1)


def _contrasted(images: Tensor, ratio: Tensor) -> Tensor:
    return _blended(images, V.rgb_to_grayscale(images).mean((-3, -2, -1), keepdim=True), ratio)


def _grown(value: float) -> float:
    return 1 + value


def _mask(bits: float) -> float:
    """The 8-bit number whose first `bits` bits are set."""
    return 256 - 2.0 ** (8 - int(bits))


TOGETHER: Mapping[str, Together] = {
    "brightness": Together(lambda images, ratio: images.mul(ratio.float()).clamp_(0, 1), _grown),
    "color": Together(lambda images, ratio: _blended(images, V.rgb_to_grayscale(images), ratio), _grown),
    "contrast": Together(_contrasted, _grown),
    "sharpness": Together(lambda images, ratio: sharpened(images, ratio.float()), _grown),
    "posterize": Together(in_bytes(lambda images, mask: images & mask.to(torch.uint8)), _mask),
    "solarize": Together(in_bytes(lambda images, least: torch.where(images >= least, ~images, images)), float),
    # These two have no value, and do with every image of a batch what they do with one.
    "autocontrast": Together(lambda images, _: OPERATIONS["autocontrast"].apply(images, 0.0), float),
    "equalize": Together(lambda images, _: OPERATIONS["equalize"].apply(images, 0.0), float),
}
"""By the names of `photometric.OPERATIONS`; "identity" does nothing."""
