"""The three styles: what a car in a German town records, and two rendered worlds after Synthia and Virtual KITTI 2."""

from __future__ import annotations

from mtlrepro.data.scenes.drives.style import Beside, Finish, Light, Style
from mtlrepro.data.scenes.streets.road import KINDS, Kind
from mtlrepro.data.scenes.streets.view import CITYSCAPES, SYNTHIA, VIRTUAL_KITTI

_PHOTO = Style(
    name="photo",
    lens=CITYSCAPES,
    height=(1.2, 1.5),
    pitch=(0.0, 0.06),
    kinds=tuple(KINDS.values()),
    bend=0.4,
    beside=Beside(
        signs=(0, 3), lights=(0, 2), bicycles=(0, 2), motorcycles=(0, 1), walls=(0, 1), fences=(0, 2), masts=(0, 2)
    ),
    vehicles=(0.68, 0.1, 0.07, 0.15),
    riders=(0, 3),
    walkers=(2, 8),
    crossing=(0, 1),
    seasons=tuple(
        {
            "road": Finish(value=0.75),
            "building": Finish(saturation=0.85, value=0.85),
            "tree": leaves,
            "bush": leaves,
            "sky": Finish(saturation=0.2, value=1.2),
            "traffic sign": Finish(value=0.75),
        }
        for leaves in (
            Finish(dye=(0.7, 1.0, 0.2), strength=0.4, saturation=0.9),
            Finish(dye=(0.9, 0.75, 0.3), strength=0.5, saturation=0.9),
        )
    ),
    light=Light(
        dull=0.45,
        sun=(1.0, 1.9),
        veiled=(0.1, 0.5),
        height=(0.35, 1.0),
        warm=(0.75, 1.0),
        sky=(0.35, 0.6),
        overcast=(0.7, 1.0),
        shade=(0.93, 1.0, 1.05),
        pale=(0.65, 0.9),
        air=(0.97, 1.0, 1.02),
        reach=(250, 600),
        exposure=(1.0, 1.6),
        tint=(0.93, 1.03, 0.97),
        cast=0.05,
        noise=(0.008, 0.02),
        vignette=(0.1, 0.3),
    ),
    stereo=True,
)

_SMOOTH = {"asphalt": "plain", "stucco": "plain", "tiles": "chequer", "terrazzo": "tiles_large"}
_TOWERS = {
    "facade": "ribbons",
    "facade_tall": "ribbons",
    "balconies": "facade_wide",
    "brick": "bands",
    "slats": "plain",
}

_GAME = Style(
    name="game",
    lens=SYNTHIA,
    height=(1.5, 3.4),
    pitch=(-0.04, 0.2),
    kinds=(
        Kind((3, 5), (3.0, 5.0), (0, 3), (0.9, 0.0, 0.0, 0.04, 0.06), (8, 16), 0.4, 0.4, 0.9, 1.0, 0.8, 0.0),
        Kind((2, 4), (4.0, 7.0), (2, 8), (0.55, 0.0, 0.1, 0.25, 0.1), (5, 12), 0.3, 0.8, 0.6, 1.0, 0.7, 0.6),
        Kind((4, 5), (2.5, 4.0), (0, 6), (0.5, 0.0, 0.3, 0.1, 0.1), (4, 10), 0.5, 0.3, 1.0, 0.8, 1.0, 0.2),
    ),
    bend=0.15,
    beside=Beside(
        signs=(1, 4), lights=(1, 4), bicycles=(0, 3), motorcycles=(0, 3), walls=(0, 2), fences=(0, 3), masts=(1, 4)
    ),
    vehicles=(0.6, 0.08, 0.07, 0.25),
    riders=(2, 6),
    walkers=(6, 14),
    crossing=(1, 4),
    seasons=tuple(
        {
            "road": Finish(dye=(0.55, 0.65, 1.0), strength=0.6, value=0.75, textures=_SMOOTH),
            "sidewalk": Finish(dye=(1.0, 0.72, 0.5), strength=0.75, value=1.35, textures=_SMOOTH, repeat=1.6),
            "building": Finish(hue=0.45, saturation=1.5, value=1.1, textures=_TOWERS, repeat=1.0),
            "wall": Finish(dye=(0.8, 0.35, 0.3), strength=0.7, textures=_TOWERS),
            "fence": Finish(dye=(0.4, 0.5, 0.9), strength=0.7),
            "pole": Finish(dye=(0.9, 0.75, 0.3), strength=0.5, value=1.3),
            "tree": leaves,
            "bush": leaves,
            "terrain": grass,
            "sky": sky,
            "car": Finish(saturation=1.9, value=1.1),
            "van": Finish(saturation=1.9, value=1.1),
            "bus": Finish(saturation=2.2, value=1.1),
            "person": Finish(saturation=1.6, value=1.2),
            "rider": Finish(saturation=1.6, value=1.2),
        }
        for leaves, grass, sky in (
            (
                Finish(dye=(0.35, 1.0, 0.1), strength=0.5, saturation=1.3, value=1.5, textures={"foliage": "leaves"}),
                Finish(dye=(0.3, 1.0, 0.15), strength=0.5, saturation=1.3, value=1.3, textures={"planting": "plain"}),
                Finish(dye=(0.15, 0.45, 1.0), strength=0.5, saturation=1.3),
            ),
            (
                Finish(dye=(1.0, 0.38, 0.05), strength=0.8, saturation=1.2, value=1.9, textures={"foliage": "leaves"}),
                Finish(dye=(0.8, 0.75, 0.2), strength=0.6, value=1.3, textures={"planting": "plain"}),
                Finish(dye=(1.0, 0.62, 0.45), strength=0.6),
            ),
        )
    ),
    light=Light(
        dull=0.0,
        sun=(2.2, 3.0),
        veiled=(0.1, 0.5),
        height=(0.5, 1.2),
        warm=(0.7, 0.95),
        sky=(0.3, 0.45),
        overcast=(0.7, 1.0),
        shade=(0.85, 0.95, 1.3),
        pale=(0.5, 0.7),
        air=(0.75, 0.9, 1.2),
        reach=(900, 1500),
        exposure=(1.0, 1.3),
        tint=(1.06, 1.0, 0.98),
        cast=0.03,
        noise=(0.0, 0.002),
        vignette=(0.0, 0.0),
    ),
    stereo=False,
)

_GRASS = {"": "planting"}
_KITTI = Style(
    name="kitti",
    lens=VIRTUAL_KITTI,
    height=(1.55, 1.75),
    pitch=(-0.02, 0.03),
    kinds=(
        Kind((2, 2), (1.0, 2.5), (5, 12), (0.0, 0.55, 0.1, 0.3, 0.05), (1, 2), 0.6, 0.8, 0.5, 0.5, 0.7, 1.0),
        Kind((2, 3), (1.0, 2.0), (8, 18), (0.0, 0.2, 0.1, 0.6, 0.1), (1, 2), 0.2, 0.9, 0.5, 0.3, 0.7, 1.0),
        Kind((3, 4), (1.5, 3.0), (12, 20), (0.05, 0.1, 0.25, 0.55, 0.05), (2, 3), 0.0, 0.6, 0.8, 0.0, 1.0, 1.0),
    ),
    bend=0.7,
    beside=Beside(
        signs=(0, 3),
        lights=(0, 3),
        bicycles=(0, 1),
        motorcycles=(0, 1),
        walls=(0, 1),
        fences=(0, 2),
        rails=(0, 4),
        masts=(0, 3),
    ),
    vehicles=(0.55, 0.2, 0.17, 0.08),
    riders=(0, 2),
    walkers=(0, 4),
    crossing=(0, 0),
    seasons=tuple(
        {
            "road": Finish(dye=(1.0, 0.92, 0.8), strength=0.8, value=1.6, textures={"asphalt": "stucco"}),
            "sidewalk": verge,
            "terrain": Finish(dye=(0.9, 0.85, 0.3), strength=0.7, value=1.15),
            "building": Finish(saturation=0.5, value=1.3, textures={"ribbons": "facade", "balconies": "facade"}),
            "wall": Finish(saturation=0.4, value=1.2),
            "fence": Finish(dye=(0.9, 0.9, 0.85), strength=0.8, value=1.6),
            "guard rail": Finish(value=1.6),
            "tree": Finish(dye=(0.3, 1.0, 0.25), strength=0.7, value=1.35, textures={"foliage": "leaves"}, repeat=0.6),
            "bush": Finish(dye=(0.5, 1.0, 0.25), strength=0.7, value=1.5, textures={"foliage": "leaves"}, repeat=0.6),
            "sky": Finish(dye=(0.3, 0.62, 1.0), strength=0.8, saturation=1.2, value=0.95),
            "pole": Finish(value=0.7),
            "traffic light": Finish(dye=(1.0, 0.8, 0.2), strength=0.5, value=2.0),
            "traffic sign": Finish(value=1.2),
        }
        for verge in (
            Finish(dye=(0.8, 0.9, 0.3), strength=0.95, saturation=1.2, textures=_GRASS),
            Finish(dye=(0.9, 0.8, 0.6), strength=0.6, value=0.9, textures={"": "terrazzo"}),
        )
    ),
    light=Light(
        dull=0.15,
        sun=(1.5, 2.2),
        veiled=(0.3, 0.6),
        height=(0.6, 1.1),
        warm=(0.65, 0.85),
        sky=(0.5, 0.7),
        overcast=(0.8, 1.0),
        shade=(1.0, 1.0, 1.0),
        pale=(0.75, 0.9),
        air=(0.9, 1.0, 1.08),
        reach=(500, 900),
        exposure=(1.15, 1.5),
        tint=(1.05, 1.02, 0.9),
        cast=0.03,
        noise=(0.002, 0.006),
        vignette=(0.0, 0.05),
    ),
    stereo=False,
)

STYLES = {style.name: style for style in (_PHOTO, _GAME, _KITTI)}
"""Name -> style."""
