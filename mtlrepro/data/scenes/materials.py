"""Random materials: textures plausible for a thing but shared between classes, colours from one wide palette.

Sharing is the point: a wooden wall, floor, desk and wardrobe exist, so neither colour nor texture tells the class.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.textures import TEXTURES

WOOD = ("wood", "wood2", "knotty", "planks", "deck")
FABRIC = (
    "plain",
    "weave",
    "weave_coarse",
    "plaid",
    "gingham",
    "stripes",
    "stripes_wide",
    "pinstripes",
    "dots",
    "floral",
    "damask",
    "chevron",
    "diamonds",
    "quilt",
    "fur",
    "bands",
)
HARD = ("plain", "plain", "marble", "terrazzo", "wood", "stucco")
WALL = (
    "plain",
    "plain",
    "stucco",
    "stucco",
    "damask",
    "stripes_wide",
    "floral",
    "brick",
    "subway",
    "tiles",
    "bands",
    "diamonds",
    "wood",
    "pinstripes",
)
FLOOR = (
    "planks",
    "deck",
    "parquet",
    "tiles",
    "tiles_large",
    "tiles_small",
    "chequer",
    "carpet",
    "shag",
    "marble",
    "terrazzo",
    "wood2",
    "weave",
)
RUG = ("persian", "shag", "carpet", "chevron", "stripes", "diamonds", "floral", "plaid", "quilt")
ART = ("landscape", "landscape2", "abstract", "abstract2", "portrait", "still", "street", "floral")
SCREEN = ("screen", "screen2", "landscape", "street", "plain")
SPINES = ("spines", "spines2", "spines3")
SKIN = ((0.78, 0.55, 0.42), (0.62, 0.40, 0.28), (0.40, 0.24, 0.15), (0.85, 0.65, 0.52), (0.22, 0.13, 0.08))
HAIR = ((0.04, 0.03, 0.02), (0.15, 0.08, 0.04), (0.35, 0.22, 0.09), (0.55, 0.50, 0.45), (0.30, 0.06, 0.02))


def colour(g: np.random.Generator, dark: float = 0.08, light: float = 0.85) -> tuple[float, float, float]:
    """A linear RGB albedo: any hue, mostly muted, sometimes saturated."""
    saturation = g.uniform(0, 0.35) if g.random() < 0.65 else g.uniform(0.35, 0.9)
    return colorsys.hsv_to_rgb(g.random(), saturation, g.uniform(dark, light))


def brown(g: np.random.Generator) -> tuple[float, float, float]:
    """A wood-like albedo."""
    return colorsys.hsv_to_rgb(g.uniform(0.04, 0.12), g.uniform(0.25, 0.7), g.uniform(0.12, 0.75))


def pick(g: np.random.Generator, names: tuple[str, ...]) -> int:
    """A texture index."""
    return TEXTURES[names[g.integers(len(names))]]


def mix(g: np.random.Generator, base: tuple[float, float, float]) -> tuple[tuple[float, float, float], ...]:
    """Three albedos around a base: itself, a darker or lighter one, an accent."""
    factor = g.uniform(0.35, 0.75) if sum(base) > 0.9 else g.uniform(1.3, 2.2)
    second = tuple(min(0.9, c * factor) for c in base)
    return base, second, colour(g)  # type: ignore[return-value]


def surface(g: np.random.Generator, names: tuple[str, ...], repeat: float = 0.6, **settings: Any) -> Material:
    """A material with a texture of `names` and any colours."""
    return Material(
        pick(g, names), mix(g, colour(g)), repeat * g.uniform(0.7, 1.4), turn=bool(g.random() < 0.3), **settings
    )


def wood(g: np.random.Generator) -> Material:
    """Natural or painted wood."""
    base = brown(g) if g.random() < 0.6 else colour(g)
    return Material(
        pick(g, WOOD), mix(g, base), g.uniform(0.5, 1.2), gloss=g.uniform(0, 0.3), turn=bool(g.random() < 0.5)
    )


def furniture(g: np.random.Generator) -> Material:
    """What case furniture is made of."""
    return wood(g) if g.random() < 0.65 else surface(g, HARD, gloss=g.uniform(0, 0.4))


def fabric(g: np.random.Generator) -> Material:
    """Upholstery, bedding, clothes."""
    return surface(g, FABRIC, 0.35)


def metal(g: np.random.Generator) -> Material:
    """Legs, frames, appliances."""
    grey = g.uniform(0.05, 0.75)
    return Material(
        TEXTURES["plain"],
        ((grey, grey, grey * g.uniform(0.9, 1.1)), *mix(g, colour(g))[:2]),
        0.5,
        gloss=g.uniform(0.2, 0.8),
    )


def white(g: np.random.Generator) -> Material:
    """Porcelain and appliances: mostly white, sometimes coloured."""
    base = (0.82, 0.82, 0.80) if g.random() < 0.7 else colour(g, 0.3)
    return Material(TEXTURES["plain"], mix(g, base), 0.5, gloss=g.uniform(0.3, 0.8))


def solid(rgb: tuple[float, float, float], texture: str = "plain", **settings: Any) -> Material:
    """One colour."""
    r, g, b = rgb
    shades = (rgb, (0.6 * r, 0.6 * g, 0.6 * b), (min(0.9, 1.3 * r), min(0.9, 1.3 * g), min(0.9, 1.3 * b)))
    return Material(TEXTURES[texture], shades, 0.3, **settings)


def fitted(g: np.random.Generator, names: tuple[str, ...], **settings: Any) -> Material:
    """A picture-like texture that fills each face once."""
    return Material(pick(g, names), (colour(g), colour(g), colour(g)), 0.0, **settings)


def scaled(rgb: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    """A lighter or darker albedo."""
    return min(0.9, rgb[0] * factor), min(0.9, rgb[1] * factor), min(0.9, rgb[2] * factor)
