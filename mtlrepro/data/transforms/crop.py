"""RandomScaleCrop: a random window of a sample, resized to the sample's size, as in MTAN, MTPSL and JTR.

The geometry follows the public reference implementation, with one difference: interpolated vector labels are scaled
back to unit length, as everywhere in this package.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import Sample, scaled
from mtlrepro.data.transforms.basic import SCALES, flip_sample, renormalise
from mtlrepro.data.transforms.geometry import IDENTITY, MIRROR, axis_map, moved_geometry

if TYPE_CHECKING:
    from mtlrepro.tasks.base import Task


class Window(NamedTuple):
    """What a view shows of another one of the same size: that one mirrored, then cut, then resized to full size.

    Attributes:
        flip: whether it is mirrored left to right before it is cut.
        scale: the factor that depth was divided by; heights and widths are whole numbers, hence enlarged only about
            as much.
        top: first row of the cut.
        left: first column of the cut, counted in the mirrored view if `flip`.
        height: rows of the cut.
        width: columns of the cut.
    """

    flip: bool
    scale: float
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def whole(cls, size: Sequence[int], flip: bool = False) -> Window:
        """All of a view of size (height, width)."""
        return cls(flip, 1.0, 0, 0, size[0], size[1])


def draw_window(size: Sequence[int], draws: Draws, flip: bool = False) -> Window:
    """A window of a random scale at a random place: 1, 1.2 or 1.5, then the top row, then the left column.

    Args:
        size: (height, width) of the view, at least 2 each. A window has ⌊height/s⌋ rows and ⌊width/s⌋ columns.
        draws: where the three numbers come from; each is uniform.
        flip: whether the view is mirrored before it is cut.
    """
    scale = draws.choice(SCALES)
    height, width = (int(n / scale) for n in size)
    top, left = (draws.choice(range(n - part + 1)) for n, part in zip(size, (height, width), strict=True))
    return Window(flip, scale, top, left, height, width)


def crop_sample(sample: Sample, window: Window, tasks: Mapping[str, Task]) -> Sample:
    """What a sample looks like through a window: same size, `image`, the labels of `tasks` and the camera only.

    The image is interpolated (`enlarge_bilinear`). Labels follow their task's `resampling`: "bilinear" ones, which
    are vectors with (0, 0, 0) = invalid, are interpolated, scaled back to unit length, and invalid where the nearest
    source pixel is; all others take the nearest source pixel. A crop never shrinks, so every pixel of the window,
    and with it every thin boundary, is still there. `Task.flip` and `Task.zoom_values` change the label values.

    Args:
        sample: `image` (3, H, W), uint8 or float32 in [0, 1], and labels of the same size.
        window: which part of the sample; its cut must lie inside.
        tasks: name -> task of the labels to keep.

    Returns:
        A new sample whose image is float32 in [0, 1]. Tensors that the window leaves as they are may be shared.
    """
    size = sample["image"].shape[-2:]
    part = {name: _cut(sample[name], window) for name in ("image", *tasks)}
    if window.flip:
        part = flip_sample(part, tasks)
    out = {"image": enlarge_bilinear(scaled(part["image"]), size)}
    for name, task in tasks.items():
        out[name] = task.zoom_values(_ENLARGE[task.resampling](part[name], size), window.scale)
    return out | _through(sample, window)


def follow(prediction: Tensor, windows: Sequence[Window]) -> Tensor:
    """Maps of one view as another view of the same samples shows them: mirrored, cut and interpolated.

    Values stay as they are: depth is not divided by the scale, and the x component of normals keeps its sign.

    Args:
        prediction: (B, C, H, W) maps of the first view.
        windows: what of it the other view shows, one a sample.

    Returns:
        (B, C, H, W) maps of the other view.
    """
    parts = [_cut(maps, window) for maps, window in zip(prediction, windows, strict=True)]
    parts = [part.flip(-1) if window.flip else part for part, window in zip(parts, windows, strict=True)]
    return torch.stack([enlarge_bilinear(part, prediction.shape[-2:]) for part in parts])


def enlarge_bilinear(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(C, h, w) floating-point maps at size (H, W): the corner pixels stay the corners (`align_corners=True`)."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[None], size=tuple(size), mode="bilinear", align_corners=True)[0]


def enlarge_nearest(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (..., h, w) of any dtype at size (H, W): row i shows row ⌊i·h/H⌋, and likewise for columns."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    h, w = maps.shape[-2:]
    rows, columns = _floored(h, size[0], maps.device), _floored(w, size[1], maps.device)
    return maps.index_select(-1, columns).index_select(-2, rows)


@functools.lru_cache(maxsize=64)
def _floored(n: int, m: int, device: torch.device) -> Tensor:
    return torch.arange(m, device=device) * n // m


def _cut(maps: Tensor, window: Window) -> Tensor:
    """The part (..., height, width) of maps (..., H, W) that the window shows, not mirrored yet."""
    left = maps.shape[-1] - window.left - window.width if window.flip else window.left
    return maps[..., window.top : window.top + window.height, left : left + window.width]


def _through(sample: Sample, window: Window) -> Sample:
    """The sample's camera, as it sees through the window."""
    size = sample["image"].shape[-2:]
    cut = ((size[1], window.left, window.width), (size[0], window.top, window.height))
    x, y = ((grow, 0.5 - (start + 0.5) * grow) for grow, start in ((_growth(n, part), s) for n, s, part in cut))
    if window.flip:
        x = -x[0], x[0] * size[1] + x[1]

    def seen(maps: Tensor, enlarge: Callable[[Tensor, Sequence[int]], Tensor]) -> Tensor:
        part = _cut(maps, window)
        return enlarge(part.flip(-1) if window.flip else part, size)

    return moved_geometry(
        sample,
        axis_map(x, y),
        lambda maps: seen(scaled(maps), enlarge_bilinear),
        lambda maps: seen(maps, enlarge_nearest),
        camera=MIRROR if window.flip else IDENTITY,
        scale=window.scale,
    )


def _growth(n: int, part: int) -> float:
    """By how much a cut of `part` pixels grows where its corner pixels become those of n pixels."""
    return (n - 1) / (part - 1) if part > 1 else 1.0


def _enlarge_vectors(label: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(label.shape[-2:]) == tuple(size):
        return label
    return renormalise(enlarge_bilinear(label, size), enlarge_nearest((label != 0).any(0), size))


_ENLARGE: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "nearest": enlarge_nearest,
    "bilinear": _enlarge_vectors,
    "boundary": enlarge_nearest,
}
