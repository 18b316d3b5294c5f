"""Buildings. Frame: origin on the ground in the middle of the front, which faces +y; the house lies at negative y."""

from __future__ import annotations

import math

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes.primitives import Kit, Material
from mtlrepro.data.scenes.streets import paints
from mtlrepro.data.scenes.streets.classes import BUILDING, CONSTRUCTION
from mtlrepro.data.scenes.textures import TEXTURES

G = np.random.Generator


def block(g: G, width: float, storeys: int, near: bool = True) -> Kit:
    """A town house in a row: windows, a ground floor with shops or a plinth, cornice, sometimes bays.

    Args:
        g: random source.
        width: metres along the street.
        storeys: rounded up to an even number, so that whole windows meet ground and roof.
        near: whether it has small parts.
    """
    storey, d = g.uniform(2.9, 3.6), g.uniform(10, 16)
    h = storey * (storeys + storeys % 2)
    kit = Kit((width, d, h)).begin(CONSTRUCTION).part(BUILDING)
    front = paints.facade(g, storey)
    kit.slab(front, -width / 2, width / 2, -d, 0, 0, h)
    kit.casts = False
    trim = m.solid(paints.wall(g), "stucco")
    kit.slab(trim, -width / 2 - 0.15, width / 2 + 0.15, -d - 0.15, 0.3, h - 0.1, h + g.uniform(0.2, 0.7))
    if g.random() < 0.35:
        kit.casts = True
        _roof(g, kit, width, d, h, along=True)
        kit.casts = False
    if not near:
        return kit
    tall = storey * g.uniform(1.0, 1.15)
    if g.random() < 0.5:
        letters = m.colour(g, 0.3, 0.9)
        shop = Material(TEXTURES["shops"], (paints.wall(g), (0.05, 0.06, 0.07), letters), 0.0, gloss=0.3, hole=0.15)
        for i in range(max(1, round(width / 9))):
            unit = width / max(1, round(width / 9))
            x = -width / 2 + unit * i
            kit.slab(shop, x + 0.1, x + unit - 0.1, -1, 0.12, 0, tall)
        if g.random() < 0.6:
            x = g.uniform(-width / 4, width / 4)
            awning = m.surface(g, ("stripes", "plain", "stripes_wide"), 0.8)
            kit.box(awning, (x, 0.7, tall - 0.45), (width * g.uniform(0.25, 0.45), 1.4, 0.08), tilt=-0.35)
    else:
        wall = paints.wall(g)
        plinth = Material(m.pick(g, paints.MASONRY), (wall, m.scaled(wall, 0.7), m.scaled(wall, 1.2)), 1.5)
        kit.slab(plinth, -width / 2, width / 2, -1, 0.08, 0, g.uniform(0.5, 1.1))
        x = g.uniform(-width / 3, width / 3)
        kit.slab(m.wood(g), x - 0.6, x + 0.6, -1, 0.1, 0, 2.3)
        kit.slab(trim, x - 0.9, x + 0.9, -1, 0.5, 2.35, 2.5)
    if g.random() < 0.35:
        kit.casts = True
        for x in (-width / 4, width / 4):
            kit.slab(front, x - 1.3, x + 1.3, -1, g.uniform(0.5, 1.0), storey * 1.1, h - storey * 0.5)
    return kit


def house(g: G, width: float, near: bool = True) -> Kit:
    """A detached house with a pitched roof."""
    d, storeys = g.uniform(8, 11), int(g.integers(1, 3))
    h = 2.9 * storeys
    kit = Kit((width, d, h + 4)).begin(CONSTRUCTION).part(BUILDING)
    kit.slab(paints.facade(g, 2.9), -width / 2, width / 2, -d, 0, 0, h)
    _roof(g, kit, width, d, h, along=bool(g.random() < 0.5))
    kit.casts = False
    if near:
        x = g.uniform(-width / 4, width / 4)
        kit.slab(m.wood(g), x - 0.5, x + 0.5, -0.2, 0.05, 0, 2.1)
        kit.slab(paints.steel(g), x - 0.8, x + 0.8, -0.2, 0.9, 2.25, 2.35)
        kit.slab(
            m.solid((0.3, 0.12, 0.08), "brick"), width / 5, width / 5 + 0.6, -d / 2 - 0.3, -d / 2 + 0.3, h, h + 4.2
        )
    return kit


def hall(g: G, width: float) -> Kit:
    """A shed or a store: long, low, clad in sheets."""
    d, h = g.uniform(15, 25), g.uniform(5, 10)
    kit, clad = Kit((width, d, h)).begin(CONSTRUCTION).part(BUILDING), paints.wall(g)
    sheet = Material(
        m.pick(g, ("pinstripes", "grille", "tiles_large", "plain")), (clad, m.scaled(clad, 0.8), clad), 2.0
    )
    kit.slab(sheet, -width / 2, width / 2, -d, 0, 0, h)
    kit.casts = False
    kit.slab(m.solid(m.colour(g, 0.1, 0.6)), -width / 2, width / 2, -1, 0.1, h - 1.0, h)
    gate = m.solid(paints.grey(g, 0.1, 0.6), "grille")
    for i in range(int(width / 8)):
        kit.slab(gate, -width / 2 + 2 + 8 * i, -width / 2 + 6 + 8 * i, -1, 0.06, 0, min(4.0, h - 1.2))
    return kit


def _roof(g: G, kit: Kit, width: float, d: float, h: float, along: bool) -> None:
    """Two tiled slopes over a gable; the ridge lies along the street or across it."""
    tile = m.colour(g, 0.05, 0.2) if g.random() < 0.4 else (g.uniform(0.25, 0.5), g.uniform(0.1, 0.18), 0.07)
    cover = m.solid(tile, "slats")
    span, pitch = (d if along else width), g.uniform(0.5, 0.8)
    slope = span / 2 / math.cos(pitch) + 0.4
    rise = span / 4 * math.tan(pitch)
    wall = m.solid(paints.wall(g), "stucco")
    for side in (-1, 1):
        if along:
            kit.box(cover, (0, -d / 2 + side * span / 4, h + rise), (width + 0.6, slope, 0.2), tilt=-side * pitch)
        else:
            # A box tilts about its own x axis: turn it by a quarter, so that the slope falls to the side.
            centre = (side * span / 4, -d / 2, h + rise)
            kit.box(cover, centre, (d + 0.6, slope, 0.2), yaw=-side * math.pi / 2, tilt=-pitch)
    peak = 2 * rise
    for share in (0.25, 0.5, 0.75):  # the gable, in steps under the slopes
        half, top = span / 2 * (1 - share), h + peak * share - 0.1
        if along:
            kit.slab(wall, -width / 2, width / 2, -d / 2 - half, -d / 2 + half, h, top)
        else:
            kit.slab(wall, -half, half, -d, 0, h, top)
