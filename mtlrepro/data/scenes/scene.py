"""A scene before any ray is cast: primitives, materials, lights, cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtlrepro.data.scenes.camera import KINECT, Lens
from mtlrepro.data.scenes.primitives import Material


@dataclass(frozen=True)
class Daylight:
    """The light of an outdoor scene, beside `Scene.ambient`, which is then the light of the sky.

    Attributes:
        sun: unit vector towards the sun; its light is parallel and casts shadows.
        power: linear RGB irradiance on a surface that faces the sun.
        haze: linear RGB radiance of distant air.
        reach: metres of air that hide half of what lies behind.
    """

    sun: tuple[float, float, float]
    power: tuple[float, float, float]
    haze: tuple[float, float, float]
    reach: float


@dataclass(frozen=True)
class Scene:
    """What `layout` decides and `render` draws. Metres; z is up, the floor is z = 0.

    Attributes:
        rows: (N, ROW) primitives in world coordinates (`mtlrepro.data.scenes.primitives`): column 17 is the class
            id (of the 40 in rooms, of the 7 in streets), 18 the instance, 19 the person part (in streets what a
            thing is, a position in its `THINGS`), 20 whether it casts shadows.
        materials: one a row.
        room: inner width (x from 0), depth (y from 0), height; corners of it are darker. Not used outdoors.
        lights: (L, 6) positions and linear RGB powers; the first light casts shadows.
        ambient: linear RGB radiance from everywhere.
        cameras: (V, 4, 4) camera-to-world poses (x right, y down, z forward) of nearby views of the same content.
        exposure: factor on radiance.
        tint: white balance, RGB factors.
        noise: deviation of the sensor noise, fraction of full scale.
        vignette: darkening of the corners, 0 to 1.
        lens: field of view of the cameras.
        daylight: what lights an outdoor scene; None indoors.
    """

    rows: np.ndarray
    materials: tuple[Material, ...]
    room: tuple[float, float, float]
    lights: np.ndarray
    ambient: tuple[float, float, float]
    cameras: np.ndarray
    exposure: float
    tint: tuple[float, float, float]
    noise: float
    vignette: float
    lens: Lens = KINECT
    daylight: Daylight | None = None
