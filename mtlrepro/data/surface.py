"""Surface normals from a depth map, as DenseMTL (WACV 2023; public reference implementation) makes its labels.

A pixel's depth and its eight neighbours' become points, four pairs of differences of these are multiplied as vectors,
and the sum of the four products, made a unit vector, is the normal; of its z component the absolute value is taken.

Two rules differ in what is taken for depth, and each has its own camera (`camera_matrix`, `CAMERAS`):

- "metric" uses metres. With the camera of the picture this is the geometry: a normal that faces the camera, with its
  z component turned round. So vectors are x right, y down and z *towards the camera*, unlike the other normals of
  this package, which face the camera with z forward (negative).
- "released" is what the published figures rest on: in place of metres it uses the network's inverse depth
  65536 / (100 d + 1), and the focal lengths of the full-resolution picture on the pixels of the resized one. Vectors
  point another way (x and y mostly have the opposite sign); errors of the two rules cannot be compared.

The public reference implementation makes labels inside its loss, of pictures that are mirrored and cropped already, and
of a mirrored one it takes the principal point (u, v) for (W - u, H - v), W and H of the full-resolution picture. So its
"released" labels of a mirrored picture are not the mirror image of those of the picture: in a street (ground 1.6 m
below the camera, walls 6 m to either side, its end 60 m away) they are 11.0 degrees apart on average with the camera of
Cityscapes at 1024x512, 7.9 with that of Synthia at 1024x512 and 7.0 with that of Virtual KITTI 2 at 1024x320
(1 - cosine: 0.036, 0.020, 0.012). Both are had here:

- Readers make labels once, of the whole picture, and transforms mirror them (x changes its sign). In evaluation, where
  nothing is mirrored or cropped, they are those of the reference.
- The objective "multi_scale" makes its training labels anew, of the batch's depth (`batch_normals`): they are those of
  the reference, mirrored and cropped or not. (With "metric" they are the mirror image, up to what the four products,
  which are not symmetric, make of rough surfaces.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.errors import unknown

INVERSE_RANGE = 65536.0
"""Inverse depth of DenseMTL: this over centimetres plus 1."""

EVALUATED = (0.001, 80.0)
"""Metres, exclusive: in evaluation, normals of what is nearer or farther do not count."""


def inverse_normalised(metres: Tensor) -> Tensor:
    """z = 65536 / (100 d + 1): 1 at 655.35 m, where 16-bit files have their sky, and 65536 at 0."""
    return INVERSE_RANGE / (100.0 * metres + 1.0)


RULES: dict[str, Callable[[Tensor], Tensor]] = {"released": inverse_normalised, "metric": lambda metres: metres}
"""What stands in for depth, by rule."""

# Two neighbours each, as steps (right, down); the order of a pair gives the sign of its product.
_PAIRS = (((1, 0), (0, -1)), ((-1, 0), (0, 1)), ((1, 1), (1, -1)), ((-1, -1), (-1, 1)))


def check_rule(rule: str, field: str = "normals") -> str:
    """The rule itself.

    Raises:
        SpecError: there is none of this name.
    """
    if rule not in RULES:
        raise unknown("rule for normals", rule, RULES, field=field)
    return rule


def camera_matrix(camera: Mapping[str, float], size: tuple[int, int]) -> Tensor:
    """(3, 3) float64 intrinsics for a picture of `size` (height, width), pixel centres at +0.5.

    Args:
        camera: fx, fy, cx and cy in pixels of a picture of `width` x `height`.
        size: another aspect stretches the picture.
    """
    x, y = size[1] / camera["width"], size[0] / camera["height"]
    rows = [[camera["fx"] * x, 0.0, camera["cx"] * x], [0.0, camera["fy"] * y, camera["cy"] * y], [0.0, 0.0, 1.0]]
    return torch.tensor(rows, dtype=torch.float64)


def normals_from_depth(depth: Tensor, intrinsics: Tensor, rule: str, valid: Tensor | None = None) -> Tensor:
    """Unit normals, (0, 0, 0) where there is none; see the module for their axes.

    A pixel has a normal if it and its eight neighbours are valid, none of them on the edge of the picture: so two
    rows and columns on each side have none.

    Args:
        depth: (..., H, W) float32 or float64, metres.
        intrinsics: (..., 3, 3), pixel centres at +0.5. For "released" those of the full-resolution picture, whatever
            the size of `depth`; for "metric" those of a picture of the size of `depth`.
        rule: "released" or "metric".
        valid: (..., H, W) bool; by default where depth is above 0.

    Returns:
        (..., 3, H, W) of the depth's dtype, z >= 0.

    Raises:
        SpecError: unknown rule.
    """
    unit = F.pad(directions(depth, intrinsics, rule), (1, 1, 1, 1))
    kept = erode(depth > 0 if valid is None else valid).unsqueeze(-3)
    return torch.where(kept & unit.isfinite().all(-3, keepdim=True), unit, 0.0)


def released_camera(intrinsics: Tensor, placement: Tensor, full_size: tuple[int, int]) -> Tensor:
    """The camera that the public reference implementation takes for a picture that is resized, mirrored and cropped.

    Focal lengths and principal point (u, v) are those of the full-resolution picture, not scaled. In a mirrored picture
    the point is (W - u, H - v), in coordinates that are 0 at the centre of the first pixel. Then the offset of the crop
    is taken off, in pixels of the resized (and mirrored) picture.

    Args:
        intrinsics: (..., 3, 3) true camera of the picture, the centre of the first pixel at (0.5, 0.5).
        placement: (..., 3, 3) map of full-resolution coordinates to the picture's, both so; [0, 0] is negative in a
            mirrored picture.
        full_size: (H, W) of the full-resolution picture.

    Returns:
        (..., 3, 3) float64, pixel centres at +0.5.
    """
    k, place = intrinsics.double(), placement.double()
    height, width = full_size
    (a, b), (c, d) = place[..., 0, ::2].unbind(-1), place[..., 1, 1:].unbind(-1)
    mirrored = a < 0
    # The true camera before it was resized, cropped and mirrored: K = placement · K₀ · diag(±1, 1, 1).
    fx, fy = k[..., 0, 0] / a.abs(), k[..., 1, 1] / c
    u, v = (k[..., 0, 2] - b) / a, (k[..., 1, 2] - d) / c
    u, v = torch.where(mirrored, width + 1 - u, u), torch.where(mirrored, height + 1 - v, v)
    left = torch.where(mirrored, -a * width - b, -b)
    camera = torch.zeros_like(k)
    camera[..., 0, 0], camera[..., 1, 1], camera[..., 2, 2] = fx, fy, 1.0
    camera[..., 0, 2], camera[..., 1, 2] = u - left, v + d
    return camera


CAMERAS: dict[str, Callable[[Tensor, Tensor, tuple[int, int]], Tensor]] = {
    "released": released_camera,
    "metric": lambda intrinsics, placement, full_size: intrinsics,
}
"""(intrinsics, placement, full_size) as in `released_camera` -> what `normals_from_depth` takes for camera, by rule."""


def batch_normals(depth: Tensor, geometry: Mapping[str, Tensor], rule: str, full_size: tuple[int, int]) -> Tensor:
    """Normals of a batch as it is after augmentation: the labels that the public reference implementation trains on.

    Args:
        depth: (B, 1, H, W) batch target, metres, 0 invalid. A normal counts if the pixel and its neighbours are valid,
            however far.
        geometry: of the batch, with "intrinsics" and "placement".
        rule: "released" or "metric".
        full_size: (height, width) of the picture that the placement is a map of.

    Returns:
        (B, 3, H, W) batch target, (0, 0, 0) invalid.

    Raises:
        SpecError: unknown rule.
    """
    camera = CAMERAS[check_rule(rule)](geometry["intrinsics"], geometry["placement"], full_size)
    return normals_from_depth(depth[:, 0], camera, rule)


def directions(depth: Tensor, intrinsics: Tensor, rule: str) -> Tensor:
    """(..., 3, H - 2, W - 2) normals of all pixels but those on the edge, valid or not; arguments as above."""
    height, width = depth.shape[-2:]
    q, k = RULES[check_rule(rule)](depth), intrinsics.to(depth)
    u = torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5
    v = torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5
    x = (u - k[..., 0, 2, None]) / k[..., 0, 0, None]
    y = (v - k[..., 1, 2, None]) / k[..., 1, 1, None]
    points = torch.stack([q * x[..., None, :], q * y[..., :, None], q], -3)

    def towards(right: int, down: int) -> Tensor:
        there = points[..., 1 + down : height - 1 + down, 1 + right : width - 1 + right]
        return there - points[..., 1:-1, 1:-1]

    total = torch.zeros_like(points[..., 1:-1, 1:-1])
    for first, second in _PAIRS:
        total += torch.linalg.cross(towards(*first), towards(*second), dim=-3)
    unit = F.normalize(total, dim=-3)
    return torch.cat([unit[..., :2, :, :], unit[..., 2:, :, :].abs()], -3)


def erode(valid: Tensor) -> Tensor:
    """(..., H, W) bool: where the pixel and its eight neighbours are valid and none is on the edge of the picture."""
    inner = F.pad(valid[..., 1:-1, 1:-1], (1, 1, 1, 1))
    lost = (~inner).to(torch.float32).flatten(0, -3) if valid.ndim > 2 else (~inner).to(torch.float32)[None]
    return F.max_pool2d(lost, 3, stride=1, padding=1).view(valid.shape) == 0
