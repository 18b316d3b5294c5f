"""Analytic ray intersections, and the kit with which objects are assembled from primitives.

Every primitive is a unit shape under an affine map: a world point p has local coordinates
q = Rᵀ(p - c) / h, with R a rotation, c the centre and h the half sizes. Unit shapes, in local coordinates:

- `BOX`: |q| ≤ 1 on each axis;
- `BALL`: |q|² ≤ 1;
- `CONE`: a frustum about the local z axis, |z| ≤ 1, radius 1 at z = -1 and `k` at z = 1 (`k` = 1: cylinder);
- `CAPSULE`: |z| ≤ k with radius 1, closed by two unit half balls.

World axes are right-handed with z up, in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BOX, BALL, CONE, CAPSULE = range(4)

# A row: kind, centre 3, half 3, rotation 9 (row major, columns are the local axes), k, class, sub, part, casts
ROW = 21


@dataclass(frozen=True)
class Material:
    """What covers a primitive.

    Attributes:
        texture: index into the texture atlas.
        colours: three linear RGB albedos that the texture mixes.
        repeat: metres that one texture tile covers, or 0 to fit one tile to each face.
        gloss: 0 matt to 1 mirror-like; weight of the highlight.
        emit: radiance added regardless of light.
        hole: chance that a depth sensor sees nothing there.
        turn: swaps the texture's two axes.
    """

    texture: int
    colours: tuple[tuple[float, float, float], ...]
    repeat: float = 1.0
    gloss: float = 0.0
    emit: float = 0.0
    hole: float = 0.0
    turn: bool = False


class Kit:
    """An object being assembled, in its own frame: origin on the floor under its middle, front towards +y.

    Args:
        size: width (x), depth (y), height (z) that the object claims in the room, metres.

    Attributes:
        seats: (x, y, z, yaw) of places where a person can sit; z is the seat's height.
        tops: (x0, x1, y0, y1, z) of free horizontal surfaces.
    """

    def __init__(self, size: Sequence[float] = (0.0, 0.0, 0.0)):
        self.size = tuple(size)
        self.rows: list[tuple[float, ...]] = []
        self.materials: list[Material] = []
        self.seats: list[tuple[float, float, float, float]] = []
        self.tops: list[tuple[float, float, float, float, float]] = []
        self._class, self._sub, self._part, self.casts = 0, -1, 0, True

    def begin(self, class_id: int) -> Kit:
        """Start a new instance of a class; what follows belongs to it."""
        self._class, self._part = class_id, 0
        self._sub += 1
        return self

    def part(self, part: int) -> Kit:
        """Set the person part of what follows."""
        self._part = part
        return self

    def _row(self, kind, centre, half, rotation, k, material):
        flags = (float(self._class), float(self._sub), float(self._part), float(self.casts))
        self.rows.append((float(kind), *centre, *half, *rotation, k, *flags))
        self.materials.append(material)

    def slab(self, material, x0, x1, y0, y1, z0, z1):
        """An axis-aligned box by its bounds."""
        centre = ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2)
        half = ((x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2)
        self._row(BOX, centre, half, _IDENTITY, 0.0, material)

    def box(self, material, centre, size, yaw=0.0, tilt=0.0):
        """A box by centre and size, turned by `yaw` about z after `tilt` about its own x axis (radians)."""
        cy, sy, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
        rotation = (cy, -sy * ct, sy * st, sy, cy * ct, -cy * st, 0.0, st, ct)
        self._row(BOX, centre, tuple(s / 2 for s in size), rotation, 0.0, material)

    def ball(self, material, centre, size, yaw=0.0, tilt=0.0):
        """An ellipsoid by centre and full axis lengths."""
        self.box(material, centre, size, yaw, tilt)
        self.rows[-1] = (float(BALL), *self.rows[-1][1:])

    def tube(self, material, start, end, radius, taper=1.0, squash=1.0):
        """A frustum from `start` (radius) to `end` (radius x taper); `squash` scales its local y radius."""
        axes, length, centre = _along(start, end)
        self._row(CONE, centre, (radius, radius * squash, length / 2), axes, taper, material)

    def limb(self, material, start, end, radius, squash=1.0):
        """A capsule whose ball centres are `start` and `end`; `squash` scales its local y radius."""
        axes, length, centre = _along(start, end)
        self._row(CAPSULE, centre, (radius, radius * squash, radius), axes, length / 2 / radius, material)

    def add(self, other: Kit, x=0.0, y=0.0, z=0.0, yaw=0.0) -> Kit:
        """Put another kit's instances into this one, turned by `yaw` and moved."""
        if other.rows:
            shifted = transform(np.array(other.rows), x, y, z, yaw)
            shifted[:, 18] += self._sub + 1
            self.rows.extend(map(tuple, shifted.tolist()))
            self.materials.extend(other.materials)
            self._sub += other._sub + 1
        return self


_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def _along(start, end):
    """Rotation (row major) whose local z axis points from start to end, the length, and the middle."""
    z = [e - s for s, e in zip(start, end, strict=True)]
    length = math.sqrt(sum(v * v for v in z)) or 1e-6
    z = [v / length for v in z]
    # The local x axis is kept horizontal, so that `squash` acts across it.
    across = math.hypot(z[0], z[1])
    x = [z[1] / across, -z[0] / across, 0.0] if across > 1e-6 else [1.0, 0.0, 0.0]
    y = [z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]]
    centre = tuple((s + e) / 2 for s, e in zip(start, end, strict=True))
    return (x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]), length, centre


def transform(rows: np.ndarray, x: float, y: float, z: float, yaw: float) -> np.ndarray:
    """Kit rows (N, ROW) turned by `yaw` about z and moved by (x, y, z)."""
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    out = rows.copy()
    out[:, 1:4] = rows[:, 1:4] @ turn.T + (x, y, z)
    out[:, 7:16] = (turn @ rows[:, 7:16].reshape(-1, 3, 3)).reshape(-1, 9)
    return out


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Inner product of two vectors of three maps."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def to_local(origin: np.ndarray, centre: np.ndarray, half: np.ndarray, rotation: np.ndarray):
    """Local origins (N, 3) and direction maps (N, 3, 3) of a ray origin for all primitives, in float64."""
    maps = rotation.transpose(0, 2, 1) / half[:, :, None]
    return (maps @ (np.asarray(origin) - centre)[:, :, None])[:, :, 0], maps


def mapped(row, dirs):
    """One local component of a world vector: row · (x, y, z), skipping zero coefficients."""
    out = None
    for coefficient, d in zip(row, dirs, strict=True):
        if abs(coefficient) > 1e-9:
            term = d * coefficient
            out = term if out is None else out + term
    return dirs[0] * 0.0 if out is None else out


def hit(kind: int, origin, maps, k: float, dirs, inverses, absolutes) -> tuple[Tensor, Tensor]:
    """Where rays enter a primitive.

    Args:
        kind: one of `BOX`, `BALL`, `CONE`, `CAPSULE`.
        origin: local ray origin, 3 floats.
        maps: 3 × 3 floats, world to local directions.
        k: the shape parameter.
        dirs, inverses, absolutes: world directions d, 1/d and |1/d|, three tensors each.

    Returns:
        ray parameter of the entry, and a mask of the rays that enter at all. Entries behind the origin are negative.
    """
    if kind == BOX:
        return _hit_box(origin, maps, dirs, inverses, absolutes)
    dx, dy, dz = (mapped(row, dirs) for row in maps)
    return _CURVED[kind](origin, dx, dy, dz, k)


def _hit_box(origin, maps, dirs, inverses, absolutes):
    near: Tensor | None = None
    far: Tensor | None = None
    for o, row in zip(origin, maps, strict=True):
        used = [j for j in range(3) if abs(row[j]) > 1e-9]
        if len(used) == 1:  # this local axis is a world axis: reuse the shared inverse
            j = used[0]
            middle, extent = inverses[j] * (-o / row[j]), absolutes[j] * (1.0 / abs(row[j]))
        else:
            inverse = mapped(row, dirs).reciprocal()
            middle, extent = inverse * -o, inverse.abs()
        enter, leave = middle - extent, middle + extent
        near = enter if near is None else torch.maximum(near, enter)
        far = leave if far is None else torch.minimum(far, leave)
    assert near is not None
    assert far is not None
    return near, near < far


def _hit_ball(o, dx, dy, dz, _k):
    a = dx * dx + dy * dy + dz * dz
    b = dx * o[0] + dy * o[1] + dz * o[2]
    square = b * b - a * (o[0] ** 2 + o[1] ** 2 + o[2] ** 2 - 1.0)
    return -(b + square.clamp_min(0.0).sqrt()) / a, square > 0


def _hit_cone(o, dx, dy, dz, k):
    middle, slope = (1.0 + k) / 2, (k - 1.0) / 2  # radius at height z is middle + slope z
    r = middle + slope * o[2]
    a = dx * dx + dy * dy - dz * dz * slope**2
    b = dx * o[0] + dy * o[1] - dz * (slope * r)
    square = b * b - a * (o[0] ** 2 + o[1] ** 2 - r * r)
    side = -(b + square.clamp_min(0.0).sqrt()) / a  # the entering root whatever the sign of a
    on_side = (square > 0) & ((side * dz + o[2]).abs() <= 1.0)
    # The cap that faces the ray: z = 1 for rays going down.
    facing = -torch.sign(dz)
    cap = (facing - o[2]) / dz
    x, y, radius = cap * dx + o[0], cap * dy + o[1], facing * slope + middle
    on_cap = x * x + y * y <= radius * radius
    return torch.where(on_side, side, cap), on_side | on_cap


def _hit_capsule(o, dx, dy, dz, k):
    a = dx * dx + dy * dy
    b = dx * o[0] + dy * o[1]
    square = b * b - a * (o[0] ** 2 + o[1] ** 2 - 1.0)
    side = -(b + square.clamp_min(0.0).sqrt()) / a
    z = side * dz + o[2]
    end = torch.sign(z) * k
    full = a + dz * dz
    toward = b + dz * (o[2] - end)
    lift = o[2] - end
    root = toward * toward - full * (lift * lift + (o[0] ** 2 + o[1] ** 2 - 1.0))
    ball = -(toward + root.clamp_min(0.0).sqrt()) / full
    on_side = z.abs() <= k
    return torch.where(on_side, side, ball), (square > 0) & (on_side | (root > 0))


_CURVED = {BALL: _hit_ball, CONE: _hit_cone, CAPSULE: _hit_capsule}
