"""Outdoor light: the sun's parallel rays and their shadows, the open sky's light, haze."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.scenes.primitives import dot, hit, mapped, to_local
from mtlrepro.data.scenes.scene import Daylight, Scene

if TYPE_CHECKING:
    from mtlrepro.data.scenes.render import Surface

COARSE = (slice(1, None, 3),) * 2
"""Shadow rays are cast from every third pixel of every third row: soft edges, a ninth of the work."""
BIAS = 0.02
"""Metres between a surface and the start of its shadow ray."""


def soften(coarse: Tensor, surface: Surface) -> Tensor:
    """A map of the `COARSE` pixels at full size."""
    return F.interpolate(coarse[None, None], size=surface.depth.shape, mode="bilinear", align_corners=False)[0, 0]


def sunlight(scene: Scene, light: Daylight, surface: Surface, gloss: Tensor) -> list[Tensor]:
    """Diffuse irradiance (three maps) and highlight radiance (three maps) of the sun.

    Args:
        scene: its rows cast the shadows.
        light: the sun.
        surface: from `trace`.
        gloss: (H, W) weight of the highlight.
    """
    reach = dot(surface.direction, surface.direction).sqrt()
    mid = [s - d / reach for s, d in zip(light.sun, surface.direction, strict=True)]
    cosine = sum((n * s for n, s in zip(surface.normal, light.sun, strict=True)), torch.zeros_like(reach))
    bend = dot(surface.normal, mid).clamp_min(0) / dot(mid, mid).clamp_min(1e-6).sqrt()
    for _ in range(5):
        bend = bend * bend  # to the 32nd power
    visible = soften(1 - _blocked(scene, light, surface).float(), surface)
    strength, shine = cosine.clamp_min(0) * visible, bend * gloss * (0.6 * (cosine > 0)) * visible
    return [strength * p for p in light.power] + [shine * p for p in light.power]


def _blocked(scene: Scene, light: Daylight, surface: Surface) -> Tensor:
    """Whether something hides the sun, at the `COARSE` pixels."""
    point = [(p + n * BIAS)[COARSE] for p, n in zip(surface.point, surface.normal, strict=True)]
    # All rays have one direction here, and each its own origin: zero-dimensional directions, origins as maps.
    direction = tuple(torch.tensor(s, dtype=torch.float32, device=surface.depth.device) for s in light.sun)
    inverses = tuple(d.reciprocal() for d in direction)
    absolutes = tuple(i.abs() for i in inverses)
    rows = scene.rows[scene.rows[:, 20] > 0.5]
    _, maps = to_local(np.zeros(3), rows[:, 1:4], rows[:, 4:7], rows[:, 7:16].reshape(-1, 3, 3))
    blocked = torch.zeros_like(point[0], dtype=torch.bool)
    for row, turn in zip(rows, maps.tolist(), strict=True):
        away = [p - c for p, c in zip(point, row[1:4].tolist(), strict=True)]
        origin = [mapped(axis, away) for axis in turn]
        t, entered = hit(int(row[0]), origin, turn, float(row[16]), direction, inverses, absolutes)
        blocked |= entered & (t > 0)
    return blocked


def openness(surface: Surface) -> Tensor:
    """(H, W) share of the sky's light that arrives: less on what faces down, less on walls near the ground."""
    up, height = surface.normal[2], surface.point[2].clamp_min(0)
    gap = height + 2.0 * up.abs()  # the ground does not darken itself
    return (0.65 + 0.35 * up) * (1 - 0.35 / (1 + 3 * gap))


def haze(light: Daylight, surface: Surface, radiance: Tensor, channel: int) -> Tensor:
    """Radiance (H, W) of one colour channel, seen through the air: its share falls with the squared distance."""
    square = surface.depth * surface.depth * dot(surface.direction, surface.direction)
    return radiance + (light.haze[channel] - radiance) * (square / (square + light.reach * light.reach))
