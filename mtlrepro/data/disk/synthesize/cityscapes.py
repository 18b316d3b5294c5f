"""Cityscapes as released: pictures, label ids, 16-bit disparities and camera files, one folder a city."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk.synthesize.base import channels_last
from mtlrepro.data.disk.synthesize.outdoor import StreetRelease, looked_up, position
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.streets.capture import Capture
from mtlrepro.data.scenes.streets.classes import AS_SIXTEEN
from mtlrepro.data.scenes.streets.labels import BASELINE
from mtlrepro.data.scenes.streets.view import CITYSCAPES

CITY = {"train": "aachen", "val": "frankfurt"}

LABEL_IDS = {
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "guard rail": 14, "pole": 17},
    **{"traffic light": 19, "traffic sign": 20, "tree": 21, "bush": 21, "terrain": 22, "sky": 23, "person": 24},
    **{"rider": 25, "car": 26, "van": 26, "truck": 27, "bus": 28, "motorcycle": 32, "bicycle": 33},
}


class CityscapesRelease(StreetRelease):
    """`{leftImg8bit,gtFine,disparity,camera}/{train,val}/<city>/<city>_<scene>_000019_*`.

    Disparity is that of this picture, in 256ths of a pixel plus 1, and 0 where a stereo matcher finds none; the camera
    files hold the renderer's own camera.
    """

    native: ClassVar[tuple[int, int]] = (1024, 2048)
    KEY = "cityscapes"
    LENS = CITYSCAPES
    CLASS_OF = AS_SIXTEEN

    def name(self, split: str, number: int) -> str:
        """City and scene; the labelled frame is the 20th."""
        return f"{CITY[split]}/{CITY[split]}_{position(split, number):06d}_000019"

    def depth(self, view: Capture) -> Tensor:
        """Metres where the disparity file has a value."""
        return view.depth.masked_fill(_codes(view) <= 1, 0.0)

    def store_views(self, split: str, name: str, views: list[Capture]) -> None:
        """Picture, label ids, disparity, camera."""
        view, k = views[0], views[0].intrinsics
        self.png(f"leftImg8bit/{split}/{name}_leftImg8bit.png", channels_last(view.image))
        ids = looked_up(LABEL_IDS, view.things).numpy().astype(np.uint8)
        self.png(f"gtFine/{split}/{name}_gtFine_labelIds.png", ids)
        self.png(f"disparity/{split}/{name}_disparity.png", _codes(view).numpy().astype(np.uint16))
        camera = {
            "extrinsic": {"baseline": BASELINE, "z": float(view.pose[2, 3])},
            "intrinsic": {"fx": k[0, 0], "fy": k[1, 1], "u0": k[0, 2] - 0.5, "v0": k[1, 2] - 0.5},
        }
        self.lines(f"camera/{split}/{name}_camera.json", [json.dumps(camera, indent=4)])


class CityscapesSequenceRelease(CityscapesRelease):
    """Besides, `leftImg8bit_sequence` with the labelled frame and those before and after it, from a car that drives
    0.3 to 0.9 m a frame along its lane; everything else stands still."""

    KEY = "cityscapes_sequence"

    def drive(self, number: int) -> tuple[float, float]:
        """Back to the frame before, on to the frame after."""
        speed = float(np.random.Generator(np.random.PCG64([self.seed, number, 1])).uniform(0.3, 0.9))
        return -speed, speed

    def sample(self, split: str, views: list[Capture]) -> Sample:
        """With the other frames and the camera that readers take."""
        frames = torch.stack([view.image for view in views[1:]])
        return {
            **super().sample(split, views),
            "frames": frames,
            "intrinsics": self.camera().float(),
        }

    def store_views(self, split: str, name: str, views: list[Capture]) -> None:
        """The labelled frame with its files, and all three in the sequence."""
        super().store_views(split, name, views)
        for view, frame in zip(views, ("000019", "000018", "000020"), strict=True):
            path = f"leftImg8bit_sequence/{split}/{name.removesuffix('000019')}{frame}_leftImg8bit.png"
            self.png(path, channels_last(view.image))


def _codes(view: Capture) -> Tensor:
    """(H, W) int64 values of a disparity file."""
    codes = (view.disparity.double() * 256).round().long() + 1
    return torch.where(view.disparity > 0, codes.clamp_max(65535), 0)
