"""Random materials of the street: plausible for a thing, but not one colour a class."""

from __future__ import annotations

import colorsys

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.textures import TEXTURES

G = np.random.Generator
Colour = tuple[float, float, float]

FACADES = ("facade", "facade", "facade_tall", "facade_wide", "balconies", "ribbons")
PAVING = ("asphalt", "asphalt", "tiles_large", "tiles", "subway", "terrazzo")
MASONRY = ("brick", "stucco", "subway", "marble", "stucco")
BRIGHT_SIGNS = ((0.02, 0.06, 0.45), (0.75, 0.6, 0.03), (0.02, 0.3, 0.1), (0.6, 0.03, 0.03))
PAINT = ((0.8, 0.8, 0.8), (0.02, 0.02, 0.025), (0.35, 0.36, 0.38), (0.1, 0.1, 0.11), (0.55, 0.55, 0.56))


def grey(g: G, dark: float, light: float) -> Colour:
    """A grey with a slight cast."""
    v = g.uniform(dark, light)
    return v * g.uniform(0.93, 1.07), v, v * g.uniform(0.93, 1.1)


def asphalt(g: G) -> Material:
    """A carriageway: dark to light grey, patched."""
    base = grey(g, 0.07, 0.26)
    return Material(TEXTURES["asphalt"], (base, m.scaled(base, 0.7), m.scaled(base, 0.4)), g.uniform(7, 13), hole=0.27)


def paving(g: G) -> Material:
    """A pavement: slabs, bricks or asphalt, usually lighter than the road."""
    base = grey(g, 0.14, 0.42) if g.random() < 0.7 else colorsys.hsv_to_rgb(g.uniform(0.0, 0.12), 0.35, 0.4)
    return Material(m.pick(g, PAVING), (base, m.scaled(base, 0.75), m.scaled(base, 0.9)), g.uniform(1.5, 4), hole=0.27)


def marking(g: G) -> Material:
    """Road paint, worn white, seldom yellow."""
    base = grey(g, 0.45, 0.8) if g.random() < 0.85 else (0.65, 0.45, 0.06)
    return m.solid(base, "stucco")


def wall(g: G) -> Colour:
    """What facades are painted: warm and pale, grey, brick, now and then strong."""
    kind = g.random()
    if kind < 0.5:
        return colorsys.hsv_to_rgb(g.uniform(0.04, 0.14), g.uniform(0.08, 0.45), g.uniform(0.3, 0.8))
    if kind < 0.72:
        return grey(g, 0.12, 0.75)
    if kind < 0.88:
        return colorsys.hsv_to_rgb(g.uniform(0.0, 0.05), g.uniform(0.4, 0.65), g.uniform(0.2, 0.45))
    return m.colour(g, 0.2, 0.7)


def facade(g: G, storey: float) -> Material:
    """Windows in rows of one storey."""
    glass = colorsys.hsv_to_rgb(g.uniform(0.5, 0.65), g.uniform(0.05, 0.4), g.uniform(0.03, 0.22))
    frame = grey(g, 0.6, 0.85) if g.random() < 0.6 else grey(g, 0.05, 0.4)
    return Material(m.pick(g, FACADES), (wall(g), glass, frame), 4 * storey, hole=0.4)


def leaves(g: G) -> Material:
    """Foliage from yellow-green to dark green, seldom autumn."""
    hue = g.uniform(0.17, 0.36) if g.random() < 0.92 else g.uniform(0.03, 0.15)
    base = colorsys.hsv_to_rgb(hue, g.uniform(0.35, 0.75), g.uniform(0.1, 0.3))
    accent = m.scaled(base, g.uniform(1.5, 2.2))
    return Material(TEXTURES["foliage"], (m.scaled(base, 0.5), base, accent), g.uniform(1.2, 2.6), hole=0.33)


def grass(g: G) -> Material:
    """Lawn, dry grass or earth."""
    hue = g.uniform(0.16, 0.33) if g.random() < 0.8 else g.uniform(0.07, 0.12)
    base = colorsys.hsv_to_rgb(hue, g.uniform(0.35, 0.7), g.uniform(0.12, 0.35))
    return Material(TEXTURES["planting"], (base, m.scaled(base, 0.6), m.scaled(base, 1.4)), g.uniform(3, 8), hole=0.27)


def paint(g: G) -> Material:
    """A car's paint: mostly without colour, glossy."""
    base = PAINT[g.integers(len(PAINT))] if g.random() < 0.65 else m.colour(g, 0.05, 0.7)
    return m.solid(base, gloss=g.uniform(0.4, 1.0), hole=0.35)


def glass(g: G) -> Material:
    """Dark car windows, in which a stereo pair finds little."""
    return m.solid(grey(g, 0.01, 0.07), "stucco", gloss=1.0, hole=0.6)


def steel(g: G) -> Material:
    """Posts: galvanised, painted dark or green."""
    return m.solid(grey(g, 0.04, 0.45) if g.random() < 0.8 else (0.02, 0.1, 0.05), gloss=0.3)
