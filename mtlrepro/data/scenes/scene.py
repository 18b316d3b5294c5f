"""A scene before any ray is cast: primitives, materials, lights, cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtlrepro.data.scenes.primitives import Material


@dataclass(frozen=True)
class Scene:
    """What `layout` decides and `render` draws. Metres; z is up, the floor is z = 0.

    Attributes:
        rows: (N, ROW) primitives in world coordinates (`mtlrepro.data.scenes.primitives`): column 17 is the 40-class
            id, 18 the instance, 19 the person part, 20 whether it casts shadows.
        materials: one a row.
        room: inner width (x from 0), depth (y from 0), height.
        lights: (L, 6) positions and linear RGB powers; the first light casts shadows.
        ambient: linear RGB radiance from everywhere.
        cameras: (V, 4, 4) camera-to-world poses (x right, y down, z forward) of nearby views of the same content.
        exposure: factor on radiance.
        tint: white balance, RGB factors.
        noise: deviation of the sensor noise, fraction of full scale.
        vignette: darkening of the corners, 0 to 1.
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
