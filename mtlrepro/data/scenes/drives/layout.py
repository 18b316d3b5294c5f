"""A drive: one street of a style, and what it looks like at several moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.drives.style import Count, Finish, Style
from mtlrepro.data.scenes.drives.traffic import Mover, Traffic, count, moved_rows
from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.scene import Daylight, Scene
from mtlrepro.data.scenes.streets import roadside, vehicles
from mtlrepro.data.scenes.streets.classes import THINGS
from mtlrepro.data.scenes.streets.layout import close_view, cover_ground, cover_sky, fill_plots, line_kerb, park
from mtlrepro.data.scenes.streets.road import Road
from mtlrepro.data.scenes.streets.view import camera, moved, useful

INTERVAL = 1 / 17
"""Seconds from one frame to the next, as in the sequences of Cityscapes."""
FRAMES = (-1, 1)
"""The further frames: the one before and the one after."""
SPECK, SHADELESS = 1.0, 3.0
"""Pixels of radius below which something is not drawn, and below which it casts no shadow."""
LINED = 60.0
"""Metres to which `Beside` counts."""


@dataclass(frozen=True)
class Drive:
    """A street while the camera drives through it.

    Attributes:
        road: along which everything moves.
        start: all that there is at time 0, whether it can be seen or not, and the camera of then.
        movers: which rows of it move.
        speed: of the camera, metres a second.
    """

    road: Road
    start: Scene
    movers: list[Mover]
    speed: float

    def scene(self, width: int, step: int = 0) -> Scene:
        """What there is to be seen some frames later (negative: before), and the camera of then.

        Args:
            width: of the picture, pixels; what would be smaller than a pixel of it is left out.
            step: number of frames.
        """
        start, seconds = self.start, step * INTERVAL
        assert start.daylight is not None
        rows, pose = start.rows, start.cameras[0]
        if step:
            rows = moved_rows(rows, self.movers, self.road, seconds)
            pose = moved(pose, self.speed * seconds, self.road.bend)
        rows, numbers = _without_specks(rows, pose, start.lens, width)
        kept = useful(rows, pose[None], np.array(start.daylight.sun), start.lens)
        materials = tuple(start.materials[i] for i in numbers[kept])
        return replace(start, rows=rows[kept], materials=materials, cameras=pose[None])


def layout(seed: int, index: int, style: Style) -> Drive:
    """The drive of a number: the same bits for the same (seed, index, style), whatever was drawn before.

    Args:
        seed: of the whole set.
        index: of the drive.
        style: drives of two styles share no street.
    """
    g = np.random.Generator(np.random.PCG64([seed, index, *style.name.encode()]))
    kind = style.kinds[g.integers(len(style.kinds))]
    bend = float(g.uniform(-0.007, 0.007)) if g.random() < style.bend else 0.0
    parking = (bool(g.random() < kind.parking), bool(g.random() < kind.parking))
    lanes = int(g.integers(kind.lanes[0], kind.lanes[1] + 1))
    road = Road(g, kind, bend, lanes, parking, float(g.uniform(*kind.walk)))
    cover_sky(road, style.lens)
    cover_ground(road)
    for side in (-1, 1):
        fill_plots(road, side)
        line_kerb(road, side)
        park(road, side)
        _line(road, style, side)
    close_view(road)
    traffic = Traffic(road, style)
    lane, speed = traffic.drive()
    traffic.walk()
    rows = np.array(road.kit.rows)
    materials = _covered(road.kit.materials, rows, style.seasons[g.integers(len(style.seasons))])
    pose = camera(road, lane, style.height, style.pitch)
    return Drive(road, _lit(g, style, rows, materials, pose), traffic.movers, speed)


def _line(road: Road, style: Style, side: int) -> None:
    """What stands along one side of the road beyond what its kind puts there."""
    g, beside = road.g, style.beside
    kerb, inward = road.kerb(side), side * math.pi / 2

    def places(least_most: Count) -> list[float]:
        return g.uniform(6, LINED, count(g, least_most)).tolist()

    for s in places(beside.signs):
        road.put(roadside.sign(g), s, side * (kerb + 0.5), math.pi + g.uniform(-0.3, 0.3))
    for s in places(beside.lights):
        road.put(roadside.traffic_light(g, arm=side > 0), s, side * (kerb + 0.5), math.pi)
    for s in places(beside.masts):
        road.put(roadside.lamp(g), s, side * (kerb + 0.6), inward)
    for number, builder in ((beside.bicycles, vehicles.bicycle), (beside.motorcycles, vehicles.motorcycle)):
        for s in places(number):
            for k in range(int(g.integers(1, 4))):
                place = (s + 0.7 * k, side * (kerb + g.uniform(0.7, max(0.9, road.walk - 0.8))))
                road.put(builder(g), *place, inward + g.uniform(-0.6, 0.6), 0.13)
    for design, number in enumerate((beside.walls, beside.fences, beside.rails)):
        away = 0.25 if design == 2 else road.walk + 0.2
        for s in places(number):
            length = float(g.uniform(8, 16))
            road.put(roadside.fence(g, length, design), s, side * (kerb + away), inward)


def _without_specks(rows: np.ndarray, pose: np.ndarray, lens: Lens, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of what is not too small to be seen, and their numbers; what is small casts no shadow."""
    radius = np.linalg.norm(rows[:, 4:7], axis=1) * np.maximum(1.0, rows[:, 16] + 1.0)
    away = ((rows[:, 1:4] - pose[:3, 3]) @ pose[:3, 2]).clip(1.0)
    pixels = radius / away * (lens.focal / lens.width * width)
    there = np.flatnonzero(pixels > SPECK)
    rows = rows[there]
    rows[:, 20] *= pixels[there] > SHADELESS
    return rows, there


def _covered(materials: list[Material], rows: np.ndarray, finishes: Mapping[str, Finish]) -> tuple[Material, ...]:
    """Materials in the style of a season, by what they cover; each one is made once."""
    by_thing = [finishes.get(name) for name in THINGS]
    done: dict[tuple[Material, int], Material] = {}
    out = []
    for material, thing in zip(materials, rows[:, 19].astype(int).tolist(), strict=True):
        finish = by_thing[thing]
        if finish is not None and (material, thing) not in done:
            done[material, thing] = finish.cover(material)
        out.append(material if finish is None else done[material, thing])
    return tuple(out)


def _lit(
    g: np.random.Generator, style: Style, rows: np.ndarray, materials: tuple[Material, ...], pose: np.ndarray
) -> Scene:
    """The scene of these rows in the style's light, seen by its camera."""
    light = style.light
    dull = g.random() < light.dull
    height, side = g.uniform(*light.height), g.uniform(-math.pi, math.pi)
    power, warm = g.uniform(*(light.veiled if dull else light.sun)), g.uniform(*light.warm)
    sky, pale = g.uniform(*(light.overcast if dull else light.sky)), g.uniform(*light.pale)
    red, green, blue = (float(t * g.uniform(1 - light.cast, 1 + light.cast)) for t in light.tint)
    return Scene(
        rows=rows,
        materials=materials,
        room=(0.0, 0.0, 0.0),
        lights=np.zeros((0, 6)),
        ambient=(sky * light.shade[0], sky * light.shade[1], sky * light.shade[2]),
        cameras=pose[None],
        exposure=float(g.uniform(*light.exposure)),
        tint=(red, green, blue),
        noise=float(g.uniform(*light.noise)),
        vignette=float(g.uniform(*light.vignette)),
        lens=style.lens,
        daylight=Daylight(
            sun=(math.cos(height) * math.cos(side), math.cos(height) * math.sin(side), math.sin(height)),
            power=(power, power * (0.5 + 0.5 * warm), power * warm * 0.95),
            haze=(pale * light.air[0], pale * light.air[1], pale * light.air[2]),
            reach=float(g.uniform(*light.reach)),
        ),
    )
