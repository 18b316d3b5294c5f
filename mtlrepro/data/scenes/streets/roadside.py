"""What stands beside the road. Frame: origin on the ground, front towards +y."""

from __future__ import annotations

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes import people
from mtlrepro.data.scenes.primitives import Kit, Material
from mtlrepro.data.scenes.streets import paints
from mtlrepro.data.scenes.streets.classes import (
    BUSH,
    CONSTRUCTION,
    FENCE,
    GUARD_RAIL,
    HUMAN,
    NATURE,
    OBJECT,
    PERSON,
    POLE,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    TREE,
    WALL,
)
from mtlrepro.data.scenes.streets.vehicles import as_human
from mtlrepro.data.scenes.textures import TEXTURES

G = np.random.Generator
BARRIERS = (WALL, FENCE, GUARD_RAIL)


def lamp(g: G) -> Kit:
    """A street lamp with an arm, or a plain mast."""
    h, r = g.uniform(4.5, 8.5), g.uniform(0.07, 0.13)
    kit, steel = Kit((0.4, 0.4, h)).begin(OBJECT).part(POLE), paints.steel(g)
    kit.tube(steel, (0, 0, 0), (0, 0, h), r, 0.7)
    if g.random() < 0.8:
        reach = g.uniform(0.7, 1.8)
        kit.tube(steel, (0, 0, h - 0.1), (0, reach, h + 0.1), r * 0.6)
        kit.box(steel, (0, reach, h + 0.1), (0.3, 0.75, 0.16))
    return kit


def sign(g: G) -> Kit:
    """One or two plates on a post: round, square or a board."""
    kit, z = Kit((0.8, 0.3, 3.0)).begin(OBJECT).part(POLE), g.uniform(2.0, 2.5)
    kit.tube(paints.steel(g), (0, 0, 0), (0, 0, z + 0.75), g.uniform(0.035, 0.06))
    kit.part(TRAFFIC_SIGN).casts = False
    for bottom in (z, z - 0.75)[: int(g.integers(1, 3))]:
        if g.random() < 0.5:
            face = Material(TEXTURES["ring_sign"], ((0.8, 0.8, 0.8), (0.55, 0.02, 0.02), (0.05, 0.05, 0.05)), 0.0)
            kit.tube(face, (0, 0.04, bottom + 0.36), (0, 0.08, bottom + 0.36), 0.36)
        else:
            ground = paints.BRIGHT_SIGNS[g.integers(len(paints.BRIGHT_SIGNS))]
            face = Material(TEXTURES["arrow_sign"], (ground, (0.8, 0.8, 0.8), ground), 0.0)
            kit.slab(face, -0.36, 0.36, 0.04, 0.08, bottom, bottom + 0.7)
    return kit


def traffic_light(g: G, arm: bool) -> Kit:
    """A signal head on a post, sometimes (with `arm`) a second one over the road."""
    kit, steel = Kit((0.5, 0.5, 3.4)).begin(OBJECT).part(POLE), paints.steel(g)
    heads = [(0.0, 2.3)]
    if arm and g.random() < 0.5:
        kit.tube(steel, (0, 0, 0), (0, 0, 5.6), 0.1)
        kit.tube(steel, (0, 0, 5.5), (3.0, 0, 5.6), 0.06)
        heads.append((2.8, 4.9))
    else:
        kit.tube(steel, (0, 0, 0), (0, 0, 3.2), 0.08)
    lit = ((0.9, 0.05, 0.03), (0.05, 0.8, 0.2), (0.9, 0.6, 0.05))[g.integers(3)]
    kit.part(TRAFFIC_LIGHT)
    for x, z in heads:
        kit.slab(m.solid((0.02, 0.025, 0.02)), x - 0.17, x + 0.17, -0.05, 0.2, z, z + 0.95)
        kit.slab(
            Material(TEXTURES["signals"], ((0.02, 0.02, 0.02), lit, lit), 0.0, emit=0.9),
            x - 0.15,
            x + 0.15,
            0.2,
            0.22,
            z + 0.02,
            z + 0.93,
        )
    return kit


def bollards(g: G) -> Kit:
    """A row of short posts along y."""
    kit, steel, h = Kit((0.3, 6.0, 0.9)).begin(OBJECT).part(POLE), paints.steel(g), g.uniform(0.7, 1.0)
    for y in range(-3, 4, 2):
        kit.tube(steel, (0, y, 0), (0, y, h), 0.08)
    return kit


def gantry(g: G) -> Kit:
    """A sign board on a mast, over the road."""
    kit, steel = Kit((0.5, 0.5, 6.0)).begin(OBJECT).part(POLE), paints.steel(g)
    kit.tube(steel, (0, 0, 0), (0, 0, 6.6), 0.16)
    kit.tube(steel, (0, 0, 6.3), (5.0, 0, 6.3), 0.1)
    ground = paints.BRIGHT_SIGNS[g.integers(len(paints.BRIGHT_SIGNS))]
    kit.part(TRAFFIC_SIGN).slab(
        Material(TEXTURES["scribble"], (ground, (0.8, 0.8, 0.8), (0.8, 0.8, 0.8)), 0.0), 1.6, 5.2, 0.12, 0.2, 5.2, 7.0
    )
    return kit


def tree(g: G, near: bool = True) -> Kit:
    """Broad crown, tall crown or conifer; one that is not `near` has a crown of two balls."""
    h, leaf = g.uniform(4.5, 11.0), paints.leaves(g)
    kit = Kit((2.0, 2.0, h)).begin(NATURE).part(TREE)
    bark = m.solid((0.12, 0.08, 0.05), "wood")
    shape = g.random()
    if shape < 0.15:
        kit.tube(bark, (0, 0, 0), (0, 0, 1.2), 0.18)
        for i in range(3):
            kit.tube(leaf, (0, 0, 0.8 + h * 0.26 * i), (0, 0, 0.9 + h * (0.4 + 0.26 * i)), h * (0.22 - 0.05 * i), 0.15)
        return kit
    clear = g.uniform(1.7, 2.6)
    kit.tube(bark, (0, 0, 0), (g.uniform(-0.2, 0.2), 0, clear + 0.25 * h), g.uniform(0.11, 0.26), 0.6)
    wide = (h - clear) * (g.uniform(0.5, 0.65) if shape < 0.7 else g.uniform(0.32, 0.42))
    balls = int(g.integers(3, 6)) if near else 2
    for i in range(balls):
        size = wide * g.uniform(0.75, 1.25)
        x, y = g.uniform(-0.45, 0.45, 2) * wide
        z = clear + (h - clear) * (0.3 + 0.45 * i / balls)
        kit.ball(leaf, (x, y, z), (size * 1.3, size * 1.3, size * g.uniform(0.9, 1.3)), yaw=g.uniform(0, 3))
    return kit


def bush(g: G) -> Kit:
    """Two or three low balls of leaves."""
    kit, leaf = Kit((1.6, 1.6, 1.2)).begin(NATURE).part(BUSH), paints.leaves(g)
    for _ in range(int(g.integers(2, 4))):
        x, y = g.uniform(-0.7, 0.7, 2)
        size = g.uniform(0.9, 1.9)
        kit.ball(leaf, (x, y, size * 0.35), (size, size, size))
    return kit


def hedge(g: G, length: float) -> Kit:
    """A clipped hedge along x."""
    kit, h, d = Kit((length, 0.8, 1.2)).begin(NATURE).part(BUSH), g.uniform(0.8, 2.0), g.uniform(0.6, 1.0)
    kit.slab(paints.leaves(g), -length / 2, length / 2, -d / 2, d / 2, 0, h)
    return kit


def fence(g: G, length: float, design: int | None = None) -> Kit:
    """Along x: a garden wall (design 0), palings (1), or a crash barrier (2); None is any of them."""
    design = int(g.integers(len(BARRIERS))) if design is None else design
    kit, h = Kit((length, 0.2, 1.2)).begin(CONSTRUCTION), g.uniform(0.9, 2.0)
    kit.part(BARRIERS[design])
    if design == 0:
        wall = paints.wall(g)
        stone = Material(m.pick(g, paints.MASONRY), (wall, m.scaled(wall, 0.6), m.scaled(wall, 1.2)), 1.2)
        kit.slab(stone, -length / 2, length / 2, -0.12, 0.12, 0, h)
    elif design == 1:
        wood = m.wood(g)
        kit.slab(
            Material(TEXTURES["stripes"], (wood.colours[0], (0.03, 0.03, 0.03), wood.colours[1]), 1.6),
            -length / 2,
            length / 2,
            -0.04,
            0.04,
            0.1,
            h,
        )
    else:
        steel = paints.steel(g)
        kit.slab(steel, -length / 2, length / 2, -0.06, 0.06, 0.45, 0.8)
        for i in range(int(length / 4)):
            x = -length / 2 + 2 + 4 * i
            kit.slab(steel, x - 0.06, x + 0.06, -0.16, -0.06, 0, 0.75)
    return kit


def pedestrian(g: G, near: bool = True) -> Kit:
    """A standing or walking person; one that is not `near` has head, body and legs only."""
    if near:
        return as_human(people.standing(g), PERSON)
    s = g.uniform(0.85, 1.08)
    kit = Kit((0.6, 0.5, 1.78 * s)).begin(HUMAN).part(PERSON)
    kit.ball(m.solid(m.SKIN[g.integers(len(m.SKIN))]), (0, 0, 1.62 * s), (0.2, 0.22, 0.28))
    kit.limb(m.fabric(g), (0, 0, 0.95 * s), (0, 0, 1.33 * s), 0.2, 0.7)
    trousers = m.fabric(g)
    for side in (-0.1, 0.1):
        kit.limb(trousers, (side, 0, 0.85 * s), (side, g.uniform(-0.2, 0.2), 0.1), 0.085)
    return kit
