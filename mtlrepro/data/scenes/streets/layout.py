"""Streets: what stands where along a road, lit and seen from where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.scene import Daylight, Scene
from mtlrepro.data.scenes.streets import buildings, paints, roadside, vehicles
from mtlrepro.data.scenes.streets.classes import CLOUD, FLAT, NATURE, ROAD, SIDEWALK, SKY, TERRAIN
from mtlrepro.data.scenes.streets.road import END, KINDS, Road
from mtlrepro.data.scenes.streets.view import CITYSCAPES, camera, moved, useful
from mtlrepro.data.scenes.textures import TEXTURES

NEAR = 24.0
"""Metres up to which things have small parts."""
CLOUDS, HORIZON = 60.0, 1500.0
"""Metres up to the clouds and away to the end of the world."""
WIDE = 1.2
"""Width over focal length from which a camera may see past the corners of the end of the world."""


def layout(seed: int, index: int, lens: Lens = CITYSCAPES, drive: Sequence[float] = ()) -> Scene:
    """The scene of a number: the same bits for the same (seed, index), whatever was drawn before.

    Args:
        seed: of the whole set.
        index: of the scene.
        lens: field of view; the street is the same whatever is seen of it.
        drive: metres that the car has driven along its lane at each further camera, negative for earlier ones.
            `Scene.cameras` holds the camera at 0 m and then these; everything but the car stands still.
    """
    g = np.random.Generator(np.random.PCG64([seed, index]))
    kind = list(KINDS.values())[g.integers(len(KINDS))]
    bend = g.uniform(-0.007, 0.007) if g.random() < 0.4 else 0.0
    parking = (bool(g.random() < kind.parking), bool(g.random() < kind.parking))
    lanes = int(g.integers(kind.lanes[0], kind.lanes[1] + 1))
    road = Road(g, kind, bend, lanes, parking, float(g.uniform(*kind.walk)))
    sky = cover_sky(road, lens)
    cover_ground(road)
    for side in (-1, 1):
        fill_plots(road, side)
        line_kerb(road, side)
        park(road, side)
    close_view(road)
    ahead = _traffic(road)
    _people(road)
    return _finish(road, sky, ahead, lens, drive)


def cover_sky(road: Road, lens: Lens) -> tuple[float, float, float]:
    """A ceiling of blue and clouds, and a wall at the end of the world; haze makes the gradient. Gives the blue."""
    g, kit = road.g, road.kit
    kit.casts = False
    clear = g.uniform(0.0, 1.0)
    blue = (0.22 + 0.35 * (1 - clear), 0.42 + 0.2 * (1 - clear), 0.78)
    grey = g.uniform(0.55, 0.95)
    colours = (blue, (grey, grey, grey * 1.02), blue)
    repeat = g.uniform(260, 600)
    kit.begin(SKY).part(CLOUD).slab(
        Material(TEXTURES["clouds"], colours, repeat, emit=g.uniform(0.75, 1.0)),
        *(-HORIZON, HORIZON, -100, HORIZON, CLOUDS, CLOUDS + 10),
    )
    air = Material(TEXTURES["plain"], (blue,) * 3, 50.0, emit=0.8)
    kit.slab(air, *(-HORIZON, HORIZON, HORIZON, HORIZON + 10, -5, 70))
    if lens.width > WIDE * lens.focal:
        for x in (-HORIZON - 10, HORIZON):
            kit.slab(air, x, x + 10, -100, HORIZON, -5, 70)
    return blue


def cover_ground(road: Road) -> None:
    """Ground to the horizon, carriageway, pavements, markings, sometimes a crossing."""
    g, kit, half = road.g, road.kit, road.half
    green = g.random() < road.kind.green
    kit.begin(NATURE if green else FLAT).part(TERRAIN if green else SIDEWALK).slab(
        paints.grass(g) if green else paints.paving(g), -HORIZON, HORIZON, -30, HORIZON, -1.0, -0.03
    )
    kit.begin(FLAT).part(ROAD)
    tar = paints.asphalt(g)
    road.strip(tar, -road.kerb(-1), road.kerb(1), 0.0)
    kit.part(SIDEWALK)
    stone, kerb = paints.paving(g), paints.grey(g, 0.25, 0.5)
    for side in (-1, 1):
        inner, outer = side * road.kerb(side), side * (road.kerb(side) + road.walk)
        road.strip(stone, min(inner, outer), max(inner, outer), 0.13)
        edge = side * (road.kerb(side) + 0.14)
        road.strip(Material(TEXTURES["plain"], (kerb,) * 3, 1.0), min(inner, edge), max(inner, edge), 0.135, end=40)
    kit.part(ROAD)
    white = paints.marking(g)
    if road.lanes > 1 and g.random() < 0.9:
        for line in range(1, road.lanes):
            t = -half + 0.2 + 3.3 * line
            if road.lanes % 2 == 0 and line == road.lanes // 2 and g.random() < 0.5:
                road.strip(white, t - 0.07, t + 0.07, 0.006, 2, 90)
            else:
                for s in np.arange(g.uniform(3, 8), 60, 9.0):
                    road.strip(white, t - 0.08, t + 0.08, 0.006, s, s + 4)
    for side in (-1, 1):
        if road.parking[side > 0] or g.random() < 0.35:
            t = side * (half - 0.1)
            road.strip(white, t - 0.07, t + 0.07, 0.006, 2, 70)
    if g.random() < 0.3:
        s = g.uniform(9, 32)
        for t in np.arange(-half + 0.4, half - 0.2, 1.0):
            road.strip(white, t - 0.26, t + 0.26, 0.008, s, s + 3.2)


@dataclass(frozen=True)
class _Lot:
    """A piece of land beside the road: side (-1 left, 1 right), where it starts, its width along the road, where
    fronts begin (metres from the middle of the road), and how many storeys are usual."""

    side: int
    start: float
    width: float
    front: float
    storeys: int

    @property
    def middle(self) -> float:
        return self.start + self.width / 2

    @property
    def yaw(self) -> float:
        """The turn that makes a front face the road."""
        return self.side * math.pi / 2


def _terrace(road: Road, lot: _Lot) -> None:
    g = road.g
    storeys = max(2, lot.storeys + int(g.integers(-1, 2)))
    kit = buildings.block(g, lot.width, storeys, lot.start < NEAR + 10)
    road.put(kit, lot.middle, lot.side * (lot.front + g.uniform(0, 0.6)), lot.yaw)


def _detached(road: Road, lot: _Lot) -> None:
    kit = buildings.house(road.g, lot.width - 5, lot.start < NEAR + 10)
    road.put(kit, lot.middle, lot.side * (lot.front + road.g.uniform(0, 3)), lot.yaw)
    _garden(road, lot)


def _hall(road: Road, lot: _Lot) -> None:
    kit = buildings.hall(road.g, lot.width - 6)
    road.put(kit, lot.middle, lot.side * (lot.front + road.g.uniform(0, 6)), lot.yaw)
    _garden(road, lot)


def _green(road: Road, lot: _Lot) -> None:
    """A lawn with trees and bushes, behind a fence or open."""
    g, t = road.g, road.kerb(lot.side) + road.walk
    road.kit.begin(NATURE).part(TERRAIN)
    left, right = sorted((lot.side * t, lot.side * (lot.front + 20)))
    road.strip(paints.grass(g), left, right, 0.1, lot.start, lot.start + lot.width)
    for _ in range(int(g.integers(2, 5)) if lot.start < 110 else 2):
        tree = roadside.tree(g, lot.start < NEAR)
        road.put(tree, lot.start + g.uniform(0, lot.width), lot.side * (t + g.uniform(1.5, 14)))
    for _ in range(int(g.integers(0, 4)) if lot.start < 80 else 0):
        road.put(roadside.bush(g), lot.start + g.uniform(0, lot.width), lot.side * (t + g.uniform(0.8, 6)))
    if g.random() < 0.4 and lot.start < 110:
        piece = roadside.fence(g, lot.width) if g.random() < 0.5 else roadside.hedge(g, lot.width)
        road.put(piece, lot.middle, lot.side * (t + 0.4), lot.yaw)


def _garden(road: Road, lot: _Lot) -> None:
    """A hedge or a fence at the pavement, bushes and a tree behind it."""
    g, t, border = road.g, road.kerb(lot.side) + road.walk + 0.5, road.g.random()
    if border < 0.8 and lot.start < 130:
        piece = roadside.fence(g, lot.width - 3) if border < 0.45 else roadside.hedge(g, lot.width - 3)
        road.put(piece, lot.middle, lot.side * t, lot.yaw)
    for _ in range(int(g.integers(0, 3)) if lot.start < 90 else 0):
        road.put(roadside.bush(g), lot.start + g.uniform(0, lot.width), lot.side * (t + g.uniform(0.8, 2)))
    if g.random() < road.kind.trees:
        tree = roadside.tree(g, lot.start < NEAR)
        road.put(tree, lot.start + g.uniform(0, lot.width), lot.side * (t + g.uniform(1.5, 3.5)))


def _gap(road: Road, lot: _Lot) -> None:
    """Nothing: a side street, a yard."""


LOTS = ((_terrace, 9, 20), (_detached, 14, 18), (_hall, 28, 46), (_green, 14, 26), (_gap, 7, 13))
"""What a lot may hold and its least and most width; `Kind.plots` weighs them in this order."""


def fill_plots(road: Road, side: int) -> None:
    """Lots along one side, and a second row that fills what the gaps open."""
    g, kind = road.g, road.kind
    front = road.kerb(side) + road.walk + g.uniform(*kind.setback)
    storeys = int(g.integers(kind.storeys[0], kind.storeys[1] + 1))
    s = -6.0
    while s < END - 60:
        fill, least, most = LOTS[g.choice(len(LOTS), p=kind.plots)]
        lot = _Lot(side, s, float(g.uniform(least, most)), front, storeys)
        fill(road, lot)
        s += lot.width
    for s in np.arange(g.uniform(10, 30), END - 40, 38.0).tolist():
        far = side * (front + g.uniform(24, 45))
        if g.random() < 0.6 - 0.4 * kind.green:
            block = buildings.block(g, g.uniform(16, 30), max(2, storeys - 1), False)
            road.put(block, s, far, side * math.pi / 2)
        else:
            for _ in range(2):
                road.put(roadside.tree(g, False), s + g.uniform(-10, 10), far + g.uniform(-8, 8))


def line_kerb(road: Road, side: int) -> None:
    """Lamps, trees, signs, signals and bollards on the kerb side of the pavement."""
    g, kind = road.g, road.kind
    t = side * (road.kerb(side) + 0.55)
    inward = math.pi / 2 if side > 0 else -math.pi / 2  # local y points to the road
    if g.random() < kind.lamps:
        for s in np.arange(g.uniform(8, 26), 110, g.uniform(20, 32)):
            road.put(roadside.lamp(g), s, t, inward)
    if g.random() < kind.trees:
        for s in np.arange(g.uniform(7, 18), 120, g.uniform(9, 16)).tolist():
            if g.random() < 0.8:
                road.put(roadside.tree(g, s < NEAR), s, side * (road.kerb(side) + g.uniform(0.8, 1.2)))
    for s in g.uniform(7, 70, int(g.integers(1, 5))):
        road.put(roadside.sign(g), s, t, math.pi + g.uniform(-0.3, 0.3))
    if g.random() < 0.4:
        road.put(roadside.traffic_light(g, arm=side > 0), g.uniform(12, 45), t, math.pi)
    if g.random() < 0.25:
        for s in np.arange(g.uniform(6, 20), 45, 7.0):
            road.put(roadside.bollards(g), s, side * (road.kerb(side) + 0.3))
    if side > 0 and g.random() < 0.12:
        road.put(roadside.gantry(g), g.uniform(22, 60), t, math.pi)


def park(road: Road, side: int) -> None:
    """Cars along the kerb."""
    g = road.g
    if not road.parking[side > 0]:
        return
    s, chance = g.uniform(2.5, 9), g.uniform(0.35, 0.95)
    along = 0.0 if side > 0 else math.pi
    while s < 110:
        builder = vehicles.van if g.random() < 0.1 else vehicles.car
        if g.random() < chance:
            kit = builder(g, s < NEAR)
            road.put(kit, s + kit.size[1] / 2, side * (road.kerb(side) - 1.1), along + g.uniform(-0.04, 0.04))
            s += kit.size[1] - 4.2
        s += g.uniform(5.0, 6.5)


def _traffic(road: Road) -> float:
    """Moving vehicles in every lane; gives the place of the camera's lane."""
    g, lanes = road.g, road.lanes
    builders = (vehicles.car, vehicles.car, vehicles.car, vehicles.car, vehicles.van, vehicles.truck, vehicles.bus)
    own = lanes - 1 if lanes < 3 or g.random() < 0.6 else lanes - 2
    for lane in range(lanes):
        t = -road.half + 0.2 + 3.3 * (lane + 0.5)
        oncoming = lane < lanes // 2
        # Ahead in the camera's own lane there is room to drive.
        s = g.uniform(12, 45) if lane == own else g.uniform(5, 35)
        while s < 150:
            if g.random() < road.kind.traffic:
                kit = builders[g.integers(len(builders))](g, s < NEAR)
                if lane != own or s > 22 or kit.size[2] < 2:
                    place = s + kit.size[1] / 2
                    road.put(
                        kit, place, t + g.uniform(-0.3, 0.3), (math.pi if oncoming else 0) + g.uniform(-0.03, 0.03)
                    )
                s += kit.size[1]
            s += g.uniform(5, 40)
    for _ in range(int(g.integers(0, 3))):
        if g.random() < road.kind.people:
            s, side = g.uniform(8, 35), g.choice([-1, 1])
            road.put(vehicles.rider(g), s, side * (road.half - 0.5), 0.0 if side > 0 else math.pi)
    return -road.half + 0.2 + 3.3 * (own + 0.5)


def _people(road: Road) -> None:
    """On the pavements, alone and in groups, and crossing."""
    g = road.g
    for _ in range(int(g.integers(2, 5 + round(6 * road.kind.people)))):
        side, s = int(g.choice([-1, 1])), float(8 + g.exponential(11))
        spot = road.kerb(side) + g.uniform(0.5, max(0.8, road.walk - 0.4))
        for k in range(1 + int(g.random() < 0.3)):
            facing = g.choice([0.0, math.pi]) + g.uniform(-0.4, 0.4)
            road.put(roadside.pedestrian(g, s < 15), s + 0.5 * k, side * (spot + 0.3 * k), facing, 0.13)
    if g.random() < 0.3:
        s = g.uniform(9, 28)
        for t in g.uniform(-road.half, road.half, int(g.integers(1, 4))):
            road.put(roadside.pedestrian(g, s < 15), s + g.uniform(-0.8, 0.8), t, g.choice([-1, 1]) * math.pi / 2)


def close_view(road: Road) -> None:
    """What closes the view: a building across, trees, or nothing."""
    g = road.g
    choice = g.random()
    if choice < 0.35:
        for t in (-24, 0, 24):
            road.put(buildings.block(g, 26, int(g.integers(3, 8)), False), g.uniform(110, END - 10), t, math.pi)
    elif choice < 0.7:
        for t in range(-40, 45, 9):
            road.put(roadside.tree(g, False), g.uniform(120, END), t)


def _finish(road: Road, blue: tuple[float, float, float], lane: float, lens: Lens, drive: Sequence[float]) -> Scene:
    g = road.g
    dull = g.random() < 0.35
    height, side = g.uniform(0.35, 1.1), g.uniform(-math.pi, math.pi)
    power = g.uniform(0.1, 0.5) if dull else g.uniform(1.2, 2.4)
    warm = g.uniform(0.75, 1.0)
    sky = g.uniform(0.75, 1.1) if dull else g.uniform(0.35, 0.6)
    pale = g.uniform(0.6, 0.9)
    rows, materials = np.array(road.kit.rows), road.kit.materials
    pose = camera(road, lane)
    cameras = np.stack([pose, *(moved(pose, distance, road.bend) for distance in drive)])
    sun = (math.cos(height) * math.cos(side), math.cos(height) * math.sin(side), math.sin(height))
    kept = useful(rows, cameras, np.array(sun), lens)
    return Scene(
        rows=rows[kept],
        materials=tuple(materials[i] for i in kept),
        room=(0.0, 0.0, 0.0),
        lights=np.zeros((0, 6)),
        ambient=(sky * (0.9 + 0.1 * blue[0]), sky, sky * g.uniform(1.0, 1.2)),
        cameras=cameras,
        exposure=float(g.uniform(0.9, 1.5)),
        tint=tuple(g.uniform(0.92, 1.08, 3)),
        noise=float(g.uniform(0.005, 0.02)),
        vignette=float(g.uniform(0, 0.25)),
        lens=lens,
        daylight=Daylight(
            sun=sun,
            power=(power, power * (0.5 + 0.5 * warm), power * warm * 0.95),
            haze=(pale * 0.97, pale, pale * g.uniform(1.0, 1.08)),
            reach=float(g.uniform(350, 800)),
        ),
    )
