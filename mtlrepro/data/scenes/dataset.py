"""The embedded rooms as a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.classes import CLASS_SETS, palette
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.data.scenes.pairs import partner
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.errors import SpecError


class Scenes(Generated):
    """Procedural rooms; sample i of a split is the same whatever the length.

    A sample holds what `mtlrepro.data.scenes.sample.render` gives of a room's first view, and with `frames` another
    view of the same room as its only neighbouring frame: frames (1, 3, H, W) uint8, frame_depth (1, H, W) float32
    metres with holes 0, and motion (1, 4, 4) float32. Which one is drawn once and for all for each sample
    (`mtlrepro.data.scenes.pairs.partner`); their cameras are less than half a metre apart.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels.
        length: number of samples.
        classes: 40 or 13, the NYUv2 label set.
        seed: another seed is another set of rooms.
        frames: whether samples have a neighbouring frame.

    Raises:
        SpecError: unknown split, label set or a size or length below 1.
    """

    def __init__(
        self,
        split: str,
        size: tuple[int, int],
        length: int,
        classes: int = 40,
        seed: int = 0,
        frames: bool = False,
    ):
        super().__init__(split, size, length, seed)
        if classes not in CLASS_SETS:
            raise SpecError(f"no label set of {classes} classes", field="classes", mend="Use 40 or 13")
        self.classes, self.frames = classes, frames
        self.info = DatasetInfo(
            name="scenes",
            tasks=("semseg", "depth", "normals", "edges"),
            class_names=CLASS_SETS[classes],
            palette=palette(classes),
            max_depth=8.0,
            edge_tolerance=0.011,  # as NYUD-v2, whose rooms these stand for
        )

    def draw(self, number: int) -> Sample:
        """The room of a number, and the frame that goes with it."""
        room = layout(self.seed, number)
        sample = self._view(room, 0, number)
        if not self.frames:
            return sample
        other = partner(room, Draws("scenes", "partner", self.seed, number))
        there = self._view(room, other, number)
        motion = np.linalg.inv(room.cameras[other]) @ room.cameras[0]
        return {
            **sample,
            "frames": there["image"][None],
            "frame_depth": there["depth"][None],
            "motion": torch.from_numpy(motion).float()[None],
        }

    def parameters(self) -> list[Any]:
        """Also the label set, and whether there are frames."""
        return [*super().parameters(), self.classes, self.frames]

    def _view(self, room: Scene, view: int, number: int) -> Sample:
        return render(room, *self.size, view=view, classes=self.classes, seed=number)
