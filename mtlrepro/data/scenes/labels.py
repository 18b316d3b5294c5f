"""Exact labels from the analytic hit, and the holes a Kinect would leave in the depth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.scenes.classes import FIXTURES, ID, IGNORE, NYU40_TO_13, SHELL
from mtlrepro.data.scenes.render import Surface
from mtlrepro.data.scenes.scene import Scene

BASELINE = 0.075
"""Metres between the Kinect's projector and its camera."""
FAR = 9.0
"""Metres beyond which the sensor sees nothing."""
GRAZING = 0.1
"""Cosine below which half of the pixels return nothing."""
SALIENT = 3
"""Objects that can be salient in one image."""


def semseg(scene: Scene, surface: Surface, classes: int) -> Tensor:
    """(H, W) uint8 class ids of the 40- or 13-class set; 255 where a class has no counterpart."""
    ids = scene.rows[:, 17].astype(int)
    if classes == 13:
        ids = np.asarray(NYU40_TO_13)[ids]
    return per_row(ids, surface).to(torch.uint8)


def instances(scene: Scene, surface: Surface) -> Tensor:
    """(H, W) int32 instance numbers, one an object; walls, floor and ceiling have their own."""
    return per_row(scene.rows[:, 18].astype(int), surface)


def parts(scene: Scene, surface: Surface) -> Tensor:
    """(H, W) uint8 person parts: 0 background, 1 head ... 6 lower leg; all 255 where nobody is in view."""
    found = per_row(scene.rows[:, 19].astype(int), surface).to(torch.uint8)
    return found if bool((found > 0).any()) else torch.full_like(found, IGNORE)


def normals(surface: Surface, pose: np.ndarray) -> Tensor:
    """(3, H, W) float32 unit normals in the camera frame, facing the camera."""
    r = pose[:3, :3].tolist()
    n = surface.normal
    stack = torch.stack([n[0] * r[0][j] + n[1] * r[1][j] + n[2] * r[2][j] for j in range(3)])
    return stack / stack.square().sum(0, keepdim=True).sqrt()


def edges(labels: Tensor) -> Tensor:
    """(H, W) uint8 semantic boundaries: 1 where the class differs from the right or the lower neighbour's."""
    out = torch.zeros_like(labels)
    out[:, :-1] |= (labels[:, :-1] != labels[:, 1:]).to(torch.uint8)
    out[:-1] |= (labels[:-1] != labels[1:]).to(torch.uint8)
    return out


def saliency(scene: Scene, instance: Tensor) -> Tensor:
    """(H, W) uint8 {0, 1}: the up to three most prominent objects.

    Prominence of an object is its visible area, weighted towards the image centre, doubled for people; an object
    counts from 0.8 % of the image and 40 % of the most prominent one. Walls, floor, ceiling and what is fixed to
    them never do.
    """
    height, width = instance.shape
    device = instance.device
    y = (torch.arange(height, device=device) * 2 + 1 - height).float() / height
    x = (torch.arange(width, device=device) * 2 + 1 - width).float() / width
    # Integer weights, so that the sum does not depend on the order of addition.
    weight = (1000 / (1 + 2 * (y[:, None] ** 2 + x[None, :] ** 2))).round().double()
    count = int(scene.rows[:, 18].max()) + 1
    flat = instance.flatten().long()
    area = torch.bincount(flat, minlength=count).cpu().numpy()
    score = torch.bincount(flat, weights=weight.flatten(), minlength=count).cpu().numpy()
    class_of = np.zeros(count, int)
    class_of[scene.rows[:, 18].astype(int)] = scene.rows[:, 17].astype(int)
    score = score * np.where(class_of == ID["person"], 2.0, 1.0)
    score[np.isin(class_of, list(SHELL | FIXTURES)) | (area < 0.008 * height * width)] = 0
    chosen = [i for i in np.argsort(-score, kind="stable")[:SALIENT] if score[i] > 0 and score[i] >= 0.4 * score.max()]
    mask = torch.zeros(count, dtype=torch.uint8)
    mask[chosen] = 1
    return mask.to(device)[flat].view(height, width)


def holes(scene: Scene, surface: Surface, noise: np.random.Generator) -> Tensor:
    """(H, W) bool: pixels where a Kinect returns no depth.

    The projector's shadow beside near objects, grazing and shiny surfaces, glass and screens, what is too far,
    and a little speckle.
    """
    width = surface.depth.shape[1]
    disparity = (519.0 * width / 640 * BASELINE) / surface.depth
    shadow = torch.zeros_like(surface.depth, dtype=torch.bool)
    for k in range(1, max(2, round(16 * width / 640)) + 1):
        shadow[:, k:] |= disparity[:, :-k] - disparity[:, k:] >= k
    return shadow | speckled(scene, surface, noise, GRAZING, 0.997) | (surface.depth > FAR)


def speckled(scene: Scene, surface: Surface, noise: np.random.Generator, grazing: float, speckle_from: float) -> Tensor:
    """(H, W) bool: patches of shiny materials, half of the grazing surfaces, and a little speckle.

    Args:
        scene: its materials tell what is shiny.
        surface: from `trace`.
        noise: source of the patches and the speckle.
        grazing: cosine between surface and ray below which half of the pixels are lost.
        speckle_from: a uniform number in [0, 1) above this is a lost pixel.
    """
    height, width = surface.depth.shape
    device = surface.depth.device
    blotches = torch.from_numpy(noise.random((1, 1, 9, 12), dtype=np.float32)).to(device)
    blotch = F.interpolate(blotches, size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    speckle = torch.from_numpy(noise.random((height, width), dtype=np.float32)).to(device)
    chance = torch.tensor([m.hole for m in scene.materials], device=device)[surface.row.flatten().long()].view(
        height, width
    )
    shiny = 0.6 * blotch + 0.4 * speckle < chance * 0.8
    lost = (surface.facing < grazing) & (speckle < 0.5)
    return ((chance > 0) & shiny) | lost | (speckle > speckle_from)


def per_row(values: np.ndarray, surface: Surface) -> Tensor:
    """(H, W) int32 map of a value a primitive."""
    table = torch.from_numpy(values.astype(np.int32)).to(surface.row.device)
    return table[surface.row.flatten().long()].view_as(surface.row)
