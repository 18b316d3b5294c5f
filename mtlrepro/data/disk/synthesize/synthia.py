"""SYNTHIA-RAND-CITYSCAPES as released: pictures, 16-bit labels of several channels, 16-bit depth in centimetres."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from mtlrepro.data.disk.synthesize.base import channels_last
from mtlrepro.data.disk.synthesize.outdoor import (
    ShuffledRelease,
    centimetres,
    looked_up,
    png_16_bit_rgb,
)
from mtlrepro.data.scenes.streets.capture import Capture
from mtlrepro.data.scenes.streets.classes import AS_SIXTEEN
from mtlrepro.data.scenes.streets.view import SYNTHIA

LABEL_IDS = {
    **{"sky": 1, "building": 2, "road": 3, "sidewalk": 4, "fence": 5, "tree": 6, "bush": 6, "pole": 7, "car": 8},
    **{"van": 8, "traffic sign": 9, "person": 10, "bicycle": 11, "motorcycle": 12, "traffic light": 15},
    **{"terrain": 16, "rider": 17, "truck": 18, "bus": 19, "wall": 21, "guard rail": 0},
}


class SynthiaRelease(ShuffledRelease):
    """`RGB/<7 digits>.png`, `GT/LABELS/...` (class id, instance, 0) and `Depth/Depth/...`.

    The principal point of the release's camera, as readers take it, is half a pixel right of and below the middle,
    where the renderer has it.
    """

    native: ClassVar[tuple[int, int]] = (760, 1280)
    KEY = "synthia"
    LENS = SYNTHIA
    CLASS_OF = AS_SIXTEEN

    def name(self, split: str, number: int) -> str:
        """The scene's number."""
        return f"{number:07d}"

    def store_views(self, split: str, name: str, views: list[Capture]) -> None:
        """Picture, labels, depth."""
        view = views[0]
        self.png(f"RGB/{name}.png", channels_last(view.image))
        ids = looked_up(LABEL_IDS, view.things)
        labels = torch.stack([ids, view.instances.long(), torch.zeros_like(ids)], -1)
        self.place(f"GT/LABELS/{name}.png").write_bytes(png_16_bit_rgb(labels.numpy().astype(np.uint16)))
        self.png(f"Depth/Depth/{name}.png", centimetres(view.depth))
