"""What tells one world of streets from another: colours, textures, what stands where, light, camera. All of it data."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mtlrepro.data.scenes.camera import Lens
from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.streets.road import Kind
from mtlrepro.data.scenes.textures import TEXTURES

Range = tuple[float, float]
"""Least and most of a uniform number."""

Count = tuple[int, int]
"""Fewest and most of a whole number."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Finish:
    """How a style covers one sort of thing, told as a change of what `streets` covers it with.

    Colours are dyed first, then their hue is moved, then saturation and value are scaled.

    Attributes:
        dye: linear RGB that colours are drawn towards; their brightness stays.
        strength: share of the dye, 0 to 1.
        hue: turns of the colour wheel that hues are moved by.
        saturation, value: factors in HSV; the largest channel stays at 0.9 or below.
        textures: texture name -> what takes its place; "" stands for all that are not named.
        repeat: factor on the size of textures.
    """

    dye: Colour = (1.0, 1.0, 1.0)
    strength: float = 0.0
    hue: float = 0.0
    saturation: float = 1.0
    value: float = 1.0
    textures: Mapping[str, str] = field(default_factory=dict)
    repeat: float = 1.0

    def cover(self, material: Material) -> Material:
        """The material in this style."""
        name = _NAMES[material.texture]
        texture = TEXTURES[self.textures.get(name, self.textures.get("", name))]
        colours = tuple(self._changed(colour) for colour in material.colours)
        return replace(material, texture=texture, colours=colours, repeat=material.repeat * self.repeat)

    def _changed(self, colour: Colour) -> Colour:
        bright, full, keep = max(colour), max(self.dye), 1 - self.strength
        r, g, b = (keep * c + self.strength * bright / full * d for c, d in zip(colour, self.dye, strict=True))
        if self.hue:
            h, s, v = colorsys.rgb_to_hsv(r, g, b)
            r, g, b = colorsys.hsv_to_rgb((h + self.hue) % 1.0, s, v)
        top = max(r, g, b)
        value = min(self.value, 0.9 / max(top, 1e-6))
        # A factor on HSV's saturation is one on how far the channels fall short of the largest.
        lost = min(self.saturation, top / max(top - min(r, g, b), 1e-6))
        return value * (top - lost * (top - r)), value * (top - lost * (top - g)), value * (top - lost * (top - b))


_NAMES = list(TEXTURES)


@dataclass(frozen=True)
class Light:
    """Weather and what the camera makes of it.

    Attributes:
        dull: share of scenes without sun.
        sun, veiled: irradiance of the sun on a clear and on a dull day.
        height: of the sun, radians.
        warm: factor on the blue of sunlight.
        sky, overcast: radiance of the sky on a clear and on a dull day.
        shade: linear RGB factors on the light of the sky.
        pale: brightness of distant air; `air`: its linear RGB factors.
        reach: metres of air that hide half of what lies behind.
        exposure: factor on radiance.
        tint: RGB factors of the camera; each varies by `cast` to either side.
        noise: of the sensor, fraction of full scale.
        vignette: darkening of the corners.
    """

    dull: float
    sun: Range
    veiled: Range
    height: Range
    warm: Range
    sky: Range
    overcast: Range
    shade: Colour
    pale: Range
    air: Colour
    reach: Range
    exposure: Range
    tint: Colour
    cast: float
    noise: Range
    vignette: Range


@dataclass(frozen=True)
class Beside:
    """What stands along the road beyond what a `Kind` puts there: how many of a thing in the first 60 m on each side.

    Attributes:
        signs, lights, bicycles, motorcycles: at the kerb.
        walls, fences, rails: pieces between pavement and land (rails: at the kerb), 8 to 16 m long.
        masts: poles.
    """

    signs: Count = (0, 0)
    lights: Count = (0, 0)
    bicycles: Count = (0, 0)
    motorcycles: Count = (0, 0)
    walls: Count = (0, 0)
    fences: Count = (0, 0)
    rails: Count = (0, 0)
    masts: Count = (0, 0)


@dataclass(frozen=True)
class Style:
    """One world.

    Attributes:
        name: key among `STYLES`.
        lens: of the camera.
        height, pitch: of the camera, metres above the road and radians downwards.
        kinds: sorts of streets, each as likely.
        bend: share of streets that bend.
        beside: see `Beside`.
        vehicles: how often car, van, truck and bus drive there.
        riders, walkers, crossing: how many there are.
        seasons: thing -> finish; a scene takes one of them.
        light: see `Light`.
        stereo: depth is what a stereo camera finds, with holes; else it is known everywhere.
    """

    name: str
    lens: Lens
    height: Range
    pitch: Range
    kinds: tuple[Kind, ...]
    bend: float
    beside: Beside
    vehicles: tuple[float, float, float, float]
    riders: Count
    walkers: Count
    crossing: Count
    seasons: tuple[Mapping[str, Finish], ...]
    light: Light
    stereo: bool
