"""From a scene to pixels: cast rays, find surfaces, shade. Labels are made in `labels`.

Only exactly rounded elementwise operations are used (no sin, exp or pow), so that the same inputs give the same bits
whatever the number of threads. Primitives are tested inside their screen bounds only; shading happens once a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.scenes import daylight
from mtlrepro.data.scenes.camera import NEAR, rays, screen_bounds
from mtlrepro.data.scenes.daylight import BIAS, COARSE, soften
from mtlrepro.data.scenes.primitives import BOX, CAPSULE, CONE, dot, hit, to_local
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.data.scenes.textures import lookup

HIDDEN = 0.999
"""What is drawn at less than this share of a primitive's least depth hides it, whatever the rounding."""


@dataclass
class Surface:
    """What the rays hit, a (H, W) map each (vectors: a list of three).

    Attributes:
        depth: metres along the camera's z axis.
        row: index of the primitive.
        point: world position.
        normal: world unit normal, facing the camera.
        facing: cosine between normal and viewing ray, 0 to 1.
        u, v: texture position in tiles.
        direction: world ray directions of unit depth.
    """

    depth: Tensor
    row: Tensor
    point: list[Tensor]
    normal: list[Tensor]
    facing: Tensor
    u: Tensor
    v: Tensor
    direction: tuple[Tensor, ...]


def trace(scene: Scene, pose: np.ndarray, height: int, width: int, device: torch.device) -> Surface:
    """Nearest surface along every pixel's ray; the room, or the sky, closes the view, so every ray hits something."""
    directions = rays(scene.lens, pose, height, width, device)
    inverses = tuple(d.reciprocal() for d in directions)
    absolutes = tuple(i.abs() for i in inverses)
    origins, maps = to_local(pose[:3, 3], scene.rows[:, 1:4], scene.rows[:, 4:7], scene.rows[:, 7:16].reshape(-1, 3, 3))
    depth = torch.full((height, width), float("inf"), device=device)
    row = torch.zeros((height, width), dtype=torch.int32, device=device)
    bounds, nearest = screen_bounds(scene.lens, scene.rows, pose, height, width)
    for i, (top, bottom, left, right) in enumerate(bounds.tolist()):
        if bottom <= top or right <= left:
            continue
        window = (slice(top, bottom), slice(left, right))
        if float(depth[window].max()) < HIDDEN * nearest[i]:
            continue
        parts = [tuple(t[window] for t in group) for group in (directions, inverses, absolutes)]
        t, entered = hit(int(scene.rows[i, 0]), origins[i].tolist(), maps[i].tolist(), float(scene.rows[i, 16]), *parts)
        nearer = entered & (t > NEAR) & (t < depth[window])
        depth[window] = torch.where(nearer, t, depth[window])
        row[window].masked_fill_(nearer, i)
    return _surface(scene, pose, depth, row, directions, origins, maps)


def _surface(scene: Scene, pose: np.ndarray, depth: Tensor, row: Tensor, directions, origins, maps) -> Surface:
    device = depth.device
    finite = torch.isfinite(depth)
    depth = torch.where(finite, depth, torch.full_like(depth, 20.0))
    point = [d * depth + float(c) for d, c in zip(directions, pose[:3, 3], strict=True)]
    half = scene.rows[:, 4:7]
    table = np.concatenate(
        [origins, maps.reshape(-1, 9), scene.rows[:, :1], scene.rows[:, 16:17], half, _materials(scene)], 1
    )
    columns = torch.from_numpy(np.ascontiguousarray(table.T.astype(np.float32))).to(device)
    flat = row.flatten().long()

    def per_pixel(j: int) -> Tensor:
        return columns[j].index_select(0, flat).view_as(depth)

    m = [per_pixel(3 + j) for j in range(9)]
    q = [
        per_pixel(i) + depth * (m[3 * i] * directions[0] + m[3 * i + 1] * directions[1] + m[3 * i + 2] * directions[2])
        for i in range(3)
    ]
    kind, k = per_pixel(12), per_pixel(13)
    h = [per_pixel(14 + j) for j in range(3)]
    local, u, v = _local_normal(kind, k, q, h)
    repeat, turn = per_pixel(17), per_pixel(18) > 0.5
    fit = repeat == 0
    scale = torch.where(fit, torch.ones_like(repeat), repeat).reciprocal()
    u = torch.where(fit, (u[1] + 1) * 0.5, u[0] * scale)
    v = torch.where(fit, (1 - v[1]) * 0.5, v[0] * -scale)
    u, v = torch.where(turn, v, u), torch.where(turn, u, v)
    normal = [m[j] * local[0] + m[3 + j] * local[1] + m[6 + j] * local[2] for j in range(3)]
    length = dot(normal, normal).clamp_min(1e-20).sqrt().reciprocal()
    normal = [n * length for n in normal]
    along = dot(normal, directions)
    away = torch.where(along > 0, -torch.ones_like(along), torch.ones_like(along))
    reach = dot(directions, directions).sqrt()
    return Surface(depth, row, point, [n * away for n in normal], along.abs() / reach, u, v, directions)


def _local_normal(kind: Tensor, k: Tensor, q: list[Tensor], h: list[Tensor]):
    """Unnormalised local normals, and texture positions as (metres, -1..1) pairs, by shape."""
    x, y, z = q
    size = [c.abs() for c in q]
    flat = kind == BOX
    on_x = flat & (size[0] >= size[1]) & (size[0] >= size[2])
    on_y = flat & ~on_x & (size[1] >= size[2])
    on_z = flat & ~on_x & ~on_y
    cone, capsule = kind == CONE, kind == CAPSULE
    cap = cone & (size[2] > 0.9999)
    slope = (k - 1) * 0.5
    radius = (x * x + y * y).clamp_min(1e-12).sqrt()
    zero = torch.zeros_like(x)
    sign = [torch.where(c < 0, -torch.ones_like(c), torch.ones_like(c)) for c in q]
    nx = torch.where(on_x, sign[0], torch.where(on_y | on_z | cap, zero, x))
    ny = torch.where(on_y, sign[1], torch.where(on_x | on_z | cap, zero, y))
    nz = torch.where(on_z | cap, sign[2], torch.where(on_x | on_y, zero, z))
    nz = torch.where(cone & ~cap, -radius * slope, nz)
    nz = torch.where(capsule, z - torch.minimum(torch.maximum(z, -k), k), nz)
    # The diamond angle stands in for atan2: it needs no function that rounds differently in vector and scalar code.
    angle = y / (x.abs() + y.abs()).clamp_min(1e-6)
    angle = torch.where(x < 0, 2 * sign[1] - angle, angle)
    curved = ~flat & ~cap
    u = [
        torch.where(curved, angle * 1.5708 * h[0], torch.where(on_x, y * h[1], x * h[0])),
        torch.where(curved, angle * 0.5, torch.where(on_x, y, x)),
    ]
    v = [
        torch.where(on_z | cap, y * h[1], z * h[2]),
        torch.where(on_z | cap, y, z),
    ]
    return (nx, ny, nz), u, v


def _materials(scene: Scene) -> np.ndarray:
    """(N, 2 + 1 + 9 + 3): repeat, turn, texture, three colours, gloss, emit, hole."""
    return np.array(
        [
            (
                m.repeat,
                float(m.turn),
                float(m.texture),
                *(c for colour in m.colours for c in colour),
                m.gloss,
                m.emit,
                m.hole,
            )
            for m in scene.materials
        ]
    )


def shade(scene: Scene, surface: Surface, grain: Tensor) -> Tensor:
    """(3, H, W) uint8 picture: textured Lambert surfaces, highlights, shadows of the main light, camera response.

    Args:
        scene: materials and lights.
        surface: from `trace`.
        grain: (3, H, W) standard normal sensor noise.
    """
    device = surface.depth.device
    height, width = surface.depth.shape
    columns = torch.from_numpy(np.ascontiguousarray(_materials(scene)[:, 2:].T.astype(np.float32))).to(device)
    flat = surface.row.flatten().long()

    def per_pixel(j: int) -> Tensor:
        return columns[j].index_select(0, flat).view(height, width)

    repeat = (
        torch.tensor([m.repeat for m in scene.materials], dtype=torch.float32, device=device)
        .index_select(0, flat)
        .view(height, width)
    )
    focal = scene.lens.focal * width / scene.lens.width
    extent = torch.where(repeat == 0, torch.full_like(repeat, 0.7), repeat)
    footprint = surface.depth / (focal * surface.facing.clamp_min(0.15).sqrt()) / extent
    m1, m2, pattern = lookup(per_pixel(0), surface.u, surface.v, footprint)
    gloss, emit = per_pixel(10), per_pixel(11)
    lit = _light(scene, surface, gloss)
    if scene.daylight is None:
        corner = _occlusion(scene, surface)
    else:
        lit = [a + b for a, b in zip(lit, daylight.sunlight(scene, scene.daylight, surface, gloss), strict=True)]
        corner = daylight.openness(surface)
    radius = _radius(height, width, device)
    vignette = 1 - scene.vignette * radius
    channels = []
    for c in range(3):
        base, one, two = (per_pixel(1 + 3 * j + c) for j in range(3))
        albedo = base + (one - base) * m1
        albedo = (albedo + (two - albedo) * m2) * pattern
        radiance = albedo * (lit[c] + scene.ambient[c] * corner + emit) + lit[3 + c]
        if scene.daylight is not None:
            radiance = daylight.haze(scene.daylight, surface, radiance, c)
        value = radiance * vignette * (scene.exposure * scene.tint[c])
        value = value / (1 + 0.25 * value)  # soft shoulder instead of hard clipping
        value = value.clamp_min(0).sqrt() + grain[c] * scene.noise
        channels.append((value.clamp(0, 1) * 255 + 0.5).to(torch.uint8))
    return torch.stack(channels)


def _light(scene: Scene, surface: Surface, gloss: Tensor) -> list[Tensor]:
    """Diffuse irradiance (three maps) and highlight radiance (three maps)."""
    out = [torch.zeros_like(surface.depth) for _ in range(6)]
    reach = dot(surface.direction, surface.direction).sqrt()
    to_eye = [-d / reach for d in surface.direction]
    for i, light in enumerate(scene.lights):
        delta = [float(light[j]) - surface.point[j] for j in range(3)]
        square = dot(delta, delta).clamp_min(0.05)
        inverse = square.sqrt().reciprocal()
        cosine = dot(surface.normal, delta) * inverse
        strength = cosine.clamp_min(0) / square
        mid = [d * inverse + e for d, e in zip(delta, to_eye, strict=True)]
        bend = dot(surface.normal, mid) / dot(mid, mid).clamp_min(1e-6).sqrt()
        for _ in range(5):
            bend = bend * bend  # to the 32nd power
        if i == 0:
            visible = _shadow(scene, surface, light)
            strength, bend = strength * visible, bend * visible
        highlight = bend * gloss * (0.6 * (cosine > 0)) / square
        for c in range(3):
            out[c] = out[c] + strength * float(light[3 + c])
            out[3 + c] = out[3 + c] + highlight * float(light[3 + c])
    return out


def _shadow(scene: Scene, surface: Surface, light: np.ndarray) -> Tensor:
    """Fraction of the main light that arrives, from a coarse grid of shadow rays."""
    point = [(p + n * BIAS)[COARSE] for p, n in zip(surface.point, surface.normal, strict=True)]
    # Rays run from the light to the surface: one common origin, so the primitives' local frames are shared.
    direction = tuple(p - float(light[j]) for j, p in enumerate(point))
    inverses = tuple(d.reciprocal() for d in direction)
    absolutes = tuple(i.abs() for i in inverses)
    casting = np.flatnonzero(scene.rows[:, 20] > 0.5)
    rows = scene.rows[casting]
    origins, maps = to_local(light[:3], rows[:, 1:4], rows[:, 4:7], rows[:, 7:16].reshape(-1, 3, 3))
    blocked = torch.zeros_like(point[0], dtype=torch.bool)
    for i in range(len(casting)):
        t, entered = hit(
            int(rows[i, 0]), origins[i].tolist(), maps[i].tolist(), float(rows[i, 16]), direction, inverses, absolutes
        )
        blocked |= entered & (t > 0) & (t < 0.995)
    return soften(1 - 0.85 * blocked.float(), surface)


def _occlusion(scene: Scene, surface: Surface) -> Tensor:
    """Ambient light is weaker near the room's corners and near the floor."""
    w, d, h = scene.room
    out = torch.ones_like(surface.depth)
    for p, n, extent in zip(surface.point, surface.normal, (w, d, h), strict=True):
        gap = torch.minimum(p, extent - p).clamp_min(0) + 2.0 * n.abs()  # a surface does not darken itself
        out = out * (1 - 0.35 / (1 + 6 * gap))
    return out


def _radius(height: int, width: int, device: torch.device) -> Tensor:
    """Squared distance from the image centre, 1 in the corners."""
    y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * (2 / width) - 1
    return (y[:, None] ** 2 + x[None, :] ** 2) * 0.5
