"""Virtual KITTI 2 as released: JPEG pictures, classes as colours, 16-bit depth in centimetres, one folder a scene."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from PIL import Image

from mtlrepro.data.disk.synthesize.base import channels_last
from mtlrepro.data.disk.synthesize.outdoor import ShuffledRelease, centimetres, looked_up, position
from mtlrepro.data.scenes.streets.capture import Capture
from mtlrepro.data.scenes.streets.classes import AS_VIRTUAL_KITTI
from mtlrepro.data.scenes.streets.view import VIRTUAL_KITTI

SCENE = {"train": "Scene01", "val": "Scene02"}
QUALITY = 95
"""Of the JPEG files."""

COLOURS = (
    *((210, 0, 200), (90, 200, 255), (0, 199, 0), (90, 240, 0), (140, 140, 140), (100, 60, 100), (250, 100, 255)),
    *((255, 255, 0), (200, 200, 0), (255, 130, 0), (80, 80, 80), (160, 60, 60), (255, 127, 80), (0, 139, 139)),
    (0, 0, 0),
)
"""RGB of the classes 0 to 13, and of what has none."""


class VirtualKitti2Release(ShuffledRelease):
    """`Scene<xx>/15-deg-left/frames/{rgb,classSegmentation,depth}/Camera_0/...`; people and what they ride have no
    class. The camera is that of the release."""

    native: ClassVar[tuple[int, int]] = (375, 1242)
    KEY = "virtual_kitti2"
    LENS = VIRTUAL_KITTI
    CLASS_OF = AS_VIRTUAL_KITTI

    def name(self, split: str, number: int) -> str:
        """A scene folder for each split."""
        return f"{SCENE[split]}/{position(split, number):05d}"

    def store_views(self, split: str, name: str, views: list[Capture]) -> None:
        """Picture, colours of classes, depth."""
        view, (scene, frame) = views[0], name.split("/")
        folder = f"{scene}/15-deg-left/frames"
        picture = Image.fromarray(channels_last(view.image))
        picture.save(self.place(f"{folder}/rgb/Camera_0/rgb_{frame}.jpg"), quality=QUALITY)
        ids = looked_up({**dict.fromkeys(_NO_CLASS, len(COLOURS) - 1), **AS_VIRTUAL_KITTI}, view.things).numpy()
        self.png(f"{folder}/classSegmentation/Camera_0/classgt_{frame}.png", np.array(COLOURS, np.uint8)[ids])
        self.png(f"{folder}/depth/Camera_0/depth_{frame}.png", centimetres(view.depth))


_NO_CLASS = ("person", "rider", "motorcycle", "bicycle")
