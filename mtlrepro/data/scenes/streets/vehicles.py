"""Vehicles, one function a kind. Frame: origin on the road under the middle, front towards +y."""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes import people
from mtlrepro.data.scenes.primitives import Kit, Material
from mtlrepro.data.scenes.streets import paints
from mtlrepro.data.scenes.streets.classes import (
    BICYCLE,
    BUS,
    CAR,
    HUMAN,
    MOTORCYCLE,
    RIDER,
    TRUCK,
    VAN,
    VEHICLE,
)
from mtlrepro.data.scenes.textures import TEXTURES

G = np.random.Generator
RUBBER = m.solid((0.02, 0.02, 0.022))
TAIL = m.solid((0.5, 0.01, 0.01), emit=0.5)
HEAD = m.solid((0.8, 0.8, 0.75), emit=0.4, gloss=0.8)
PLATE = m.solid((0.75, 0.75, 0.7))


def _wheels(kit: Kit, w: float, y0: float, y1: float, radius: float) -> None:
    for y in (y0, y1):
        for x in (-w / 2, w / 2 - 0.2):
            kit.tube(RUBBER, (x - 0.01, y, radius), (x + 0.21, y, radius), radius)


def _lights(kit: Kit, w: float, y: float, z: float) -> None:
    """Lamps and number plate at both ends."""
    for x in (-w / 2 + 0.22, w / 2 - 0.22):
        kit.slab(TAIL, x - 0.17, x + 0.17, -y - 0.02, -y, z - 0.08, z + 0.08)
        kit.slab(HEAD, x - 0.18, x + 0.18, y, y + 0.02, z - 0.07, z + 0.07)
    for y0 in (-y - 0.02, y):
        kit.slab(PLATE, -0.26, 0.26, y0, y0 + 0.02, 0.45, 0.56)


def car(g: G, near: bool = True) -> Kit:
    """Saloon, hatchback, estate or off-roader; one that is not `near` has no small parts."""
    tall = g.choice([0.0, 0.0, 0.12, 0.25])
    w, d, waist, top = g.uniform(1.68, 1.88), g.uniform(3.7, 4.7), 0.86 + tall, 1.42 + 1.2 * tall
    kit, body, glass = Kit((w, d, top)).begin(VEHICLE).part(CAR), paints.paint(g), paints.glass(g)
    rear, front = -d / 2 + g.choice([0.35, 0.4, 0.9]), d / 2 - g.uniform(1.75, 2.0)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2, 0.3 + tall / 2, waist)
    kit.slab(glass, -w / 2 + 0.1, w / 2 - 0.1, rear, front, waist, top - 0.06)
    kit.casts = False
    kit.slab(RUBBER, -w / 2 + 0.06, w / 2 - 0.06, -d / 2 + 0.1, d / 2 - 0.1, 0.16, 0.3 + tall / 2)
    kit.slab(body, -w / 2 + 0.12, w / 2 - 0.12, rear - 0.05, front + 0.05, top - 0.07, top)
    if not near:
        kit.slab(TAIL, -w / 2 + 0.05, w / 2 - 0.05, -d / 2 - 0.02, -d / 2, waist - 0.2, waist - 0.08)
        return kit
    rise = top - waist
    for y, run in ((front, 0.75), (rear, -0.4)):
        length, slope = math.hypot(run, rise), math.atan2(rise, abs(run))
        tilt = -slope if run > 0 else slope
        centre = (0.0, y + run / 2 - math.copysign(0.12, run), waist + rise / 2 - 0.12)
        kit.box(glass, centre, (w - 0.26, length, 0.3), tilt=tilt)
    _lights(kit, w, d / 2, waist - 0.14)
    _wheels(kit, w, -d * 0.31, d * 0.31, 0.32 + tall / 5)
    for x in (-w / 2 - 0.09, w / 2 + 0.09):
        kit.slab(body, x - 0.08, x + 0.08, front + 0.15, front + 0.28, waist, waist + 0.13)
    if g.random() < 0.6:  # posts between the windows
        y = (rear + front) / 2
        kit.slab(body, -w / 2 + 0.09, w / 2 - 0.09, y - 0.05, y + 0.05, waist, top - 0.06)
    return kit


def van(g: G, near: bool = True) -> Kit:
    """A delivery van."""
    w, d, top = g.uniform(1.9, 2.05), g.uniform(4.8, 6.2), g.uniform(1.95, 2.6)
    kit, body = Kit((w, d, top)).begin(VEHICLE).part(VAN), paints.paint(g)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2 - 0.9, 0.35, top)
    kit.slab(body, -w / 2, w / 2, d / 2 - 0.9, d / 2, 0.35, 1.15)
    kit.casts = False
    slope = math.atan2(top - 1.2, 0.8)
    length = math.hypot(0.8, top - 1.2)
    kit.box(paints.glass(g), (0, d / 2 - 0.75, (top + 1.0) / 2), (w - 0.1, length, 0.3), tilt=-slope)
    kit.slab(paints.glass(g), -w / 2 - 0.01, w / 2 + 0.01, d / 2 - 1.8, d / 2 - 0.95, 1.2, 1.75)
    kit.slab(paints.glass(g), -w / 2 + 0.15, w / 2 - 0.15, -d / 2 - 0.01, -d / 2, 1.2, 1.75)
    kit.slab(RUBBER, -w / 2 + 0.06, w / 2 - 0.06, -d / 2 + 0.1, d / 2 - 0.1, 0.18, 0.35)
    if near:
        _lights(kit, w, d / 2, 0.8)
        _wheels(kit, w, -d * 0.3, d * 0.32, 0.34)
    return kit


def truck(g: G, near: bool = True) -> Kit:
    """A cab and a box or tarpaulin."""
    w, d, top = g.uniform(2.3, 2.5), g.uniform(7.0, 9.5), g.uniform(3.0, 3.8)
    kit, cab = Kit((w, d, top)).begin(VEHICLE).part(TRUCK), paints.paint(g)
    load = m.surface(g, ("plain", "stripes_wide", "folds", "bands", "plain"), 3.0)
    kit.slab(load, -w / 2, w / 2, -d / 2, d / 2 - 2.1, 0.95, top)
    kit.slab(cab, -w / 2 + 0.05, w / 2 - 0.05, d / 2 - 1.9, d / 2, 0.5, 2.7)
    kit.casts = False
    kit.slab(paints.glass(g), -w / 2 + 0.15, w / 2 - 0.15, d / 2, d / 2 + 0.02, 1.6, 2.4)
    kit.slab(RUBBER, -w / 2 + 0.3, w / 2 - 0.3, -d / 2 + 0.2, d / 2 - 0.2, 0.4, 0.95)
    if near:
        _lights(kit, w, d / 2, 0.8)
        _wheels(kit, w, -d * 0.33, d * 0.38, 0.5)
    return kit


def bus(g: G, near: bool = True) -> Kit:
    """A city bus with rows of windows."""
    w, d, top = 2.5, g.uniform(9.5, 12.0), g.uniform(2.9, 3.2)
    kit = Kit((w, d, top)).begin(VEHICLE).part(BUS)
    base = m.colour(g, 0.25, 0.8)
    side = Material(TEXTURES["cabin"], (base, (0.04, 0.05, 0.06), m.colour(g)), 0.0, gloss=0.5, hole=0.2)
    kit.slab(side, -w / 2, w / 2, -d / 2, d / 2, 0.3, top)
    kit.casts = False
    for y in (-d / 2 - 0.01, d / 2):
        kit.slab(paints.glass(g), -w / 2 + 0.12, w / 2 - 0.12, y, y + 0.01, 1.25, 2.4)
        kit.slab(m.solid((0.02, 0.02, 0.02), emit=0.2), -0.8, 0.8, y - 0.005, y + 0.015, 2.5, 2.75)
    if near:
        _lights(kit, w, d / 2, 0.75)
        _wheels(kit, w, -d * 0.28, d * 0.3, 0.48)
    return kit


def bicycle(g: G) -> Kit:
    """Two wheels and a frame."""
    kit, frame = Kit((0.5, 1.8, 1.05)).begin(VEHICLE).part(BICYCLE), paints.paint(g)
    for y in (-0.52, 0.52):
        kit.tube(RUBBER, (-0.025, y, 0.34), (0.025, y, 0.34), 0.34)
    kit.casts = False
    for start, end in (
        ((0, -0.5, 0.36), (0, -0.1, 0.85)),
        ((0, -0.1, 0.5), (0, 0.4, 0.85)),
        ((0, 0.52, 0.36), (0, 0.4, 1.0)),
    ):
        kit.limb(frame, start, end, 0.035)
    kit.limb(frame, (-0.26, 0.4, 1.02), (0.26, 0.4, 1.02), 0.02)
    return kit


def motorcycle(g: G) -> Kit:
    """Wheels, tank and seat."""
    kit, body = Kit((0.7, 2.0, 1.1)).begin(VEHICLE).part(MOTORCYCLE), paints.paint(g)
    for y in (-0.65, 0.65):
        kit.tube(RUBBER, (-0.07, y, 0.32), (0.07, y, 0.32), 0.32)
    kit.ball(body, (0, 0.1, 0.72), (0.4, 1.0, 0.5))
    kit.slab(RUBBER, -0.14, 0.14, -0.75, -0.05, 0.72, 0.84)
    kit.limb(paints.steel(g), (-0.35, 0.45, 1.0), (0.35, 0.45, 1.0), 0.03)
    return kit


def rider(g: G) -> Kit:
    """A person on a bicycle or a motorcycle: human and vehicle."""
    bike = bicycle(g) if g.random() < 0.75 else motorcycle(g)
    return bike.add(as_human(people.sitting(g, 0.82), RIDER), y=-0.25)


def as_human(kit: Kit, thing: int) -> Kit:
    """A person of the rooms with the ids of the street (`thing`: PERSON or RIDER); arms cast no shadow."""
    casts = (people.TORSO, people.HEAD, people.UPPER_LEG, people.LOWER_LEG)
    kit.rows = [(*row[:17], float(HUMAN), row[18], float(thing), float(row[19] in casts)) for row in kit.rows]
    return kit
