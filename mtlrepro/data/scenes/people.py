"""People of ellipsoids and capsules with the six labelled parts.

Frame: origin on the floor between the feet (standing) or below the seat's middle (sitting), facing +y.
"""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes.classes import ID
from mtlrepro.data.scenes.primitives import Kit

HEAD, TORSO, UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG = range(1, 7)
Point = tuple[float, float, float]


def standing(g: np.random.Generator) -> Kit:
    """Upright, arms hanging, bent or raised, one foot forward."""
    s = g.uniform(0.85, 1.08)
    kit = Kit((0.6 * s, 0.5 * s, 1.78 * s)).begin(ID["person"])
    stride = g.uniform(-0.15, 0.15)
    hips = ((-0.1 * s, 0.0, 0.9 * s), (0.1 * s, 0.0, 0.9 * s))
    knees = ((-0.11 * s, stride, 0.5 * s), (0.11 * s, -stride, 0.5 * s))
    feet = ((-0.12 * s, stride * 1.1, 0.08), (0.12 * s, -stride * 1.3, 0.08))
    return _body(g, kit, s, (0.0, 0.0, 0.92 * s), hips, knees, feet)


def sitting(g: np.random.Generator, seat: float) -> Kit:
    """On a seat of the given height, knees bent."""
    s = g.uniform(0.88, 1.05)
    kit = Kit((0.6 * s, 0.9 * s, seat + 0.9 * s)).begin(ID["person"])
    z, reach = seat + 0.09, 0.4 * s
    spread = g.uniform(0.1, 0.16)
    hips = ((-0.1 * s, 0.05, z), (0.1 * s, 0.05, z))
    knees = ((-spread, 0.05 + reach, z + 0.02), (spread, 0.05 + reach, z + 0.02))
    bottom = max(0.08, z - 0.45 * s)
    feet = ((-spread, 0.1 + reach, bottom), (spread, g.uniform(-0.05, 0.15) + reach, bottom))
    return _body(g, kit, s, (0.0, 0.0, z + 0.05), hips, knees, feet)


def _body(g: np.random.Generator, kit: Kit, s: float, waist: Point, hips, knees, feet) -> Kit:
    tone = m.SKIN[g.integers(len(m.SKIN))]
    skin, hair = m.solid(tone), m.solid(m.HAIR[g.integers(len(m.HAIR))], "fur")
    shirt, trousers, shoe = m.fabric(g), m.fabric(g), m.solid(m.colour(g, 0.03, 0.4))
    sleeve = shirt if g.random() < 0.6 else skin
    legs = trousers if g.random() < 0.85 else skin
    lean = g.uniform(-0.05, 0.12)
    x, y, z = waist
    chest, neck = (x, y + lean * 0.7, z + 0.4 * s), (x, y + lean, z + 0.54 * s)
    kit.part(TORSO).limb(shirt, (x, y, z + 0.05 * s), chest, 0.165 * s, 0.65)
    kit.limb(trousers, (x - 0.05 * s, y, z), (x + 0.05 * s, y, z), 0.13 * s, 0.8)
    kit.part(HEAD).tube(skin, chest, neck, 0.055 * s)
    top = (neck[0], neck[1] + 0.02, neck[2] + 0.11 * s)
    kit.ball(skin, top, (0.165 * s, 0.2 * s, 0.25 * s))
    kit.ball(
        hair,
        (top[0], top[1] - 0.025 * s, top[2] + 0.035 * s),
        (0.185 * s, 0.2 * s, (0.23 if g.random() < 0.6 else 0.4) * s),
    )
    for side in (-1, 1):
        shoulder = (side * 0.19 * s, chest[1], chest[2] + 0.03 * s)
        swing, out, bend = g.uniform(-0.4, 0.9), g.uniform(0.05, 0.4), g.uniform(0.1, 1.6)
        elbow = _reach(shoulder, 0.27 * s, swing, side * out)
        hand = _reach(elbow, 0.25 * s, swing + bend, side * out * 0.3)
        kit.part(UPPER_ARM).limb(shirt, shoulder, elbow, 0.052 * s)
        kit.part(LOWER_ARM).limb(sleeve, elbow, hand, 0.04 * s)
        kit.ball(skin, _reach(hand, 0.06 * s, swing + bend, 0.0), (0.08 * s, 0.08 * s, 0.11 * s))
    for hip, knee, foot in zip(hips, knees, feet, strict=True):
        kit.part(UPPER_LEG).limb(legs, hip, knee, 0.078 * s)
        kit.part(LOWER_LEG).limb(legs, knee, foot, 0.055 * s)
        kit.ball(shoe, (foot[0], foot[1] + 0.06, foot[2] - 0.03), (0.1 * s, 0.26 * s, 0.1))
    return kit


def _reach(start: Point, length: float, swing: float, out: float) -> Point:
    """The end of a limb that hangs down, swung forward by `swing` and outward by `out` radians."""
    down = length * math.cos(swing) * math.cos(out)
    return start[0] + length * math.sin(out), start[1] + length * math.sin(swing) * math.cos(out), start[2] - down
