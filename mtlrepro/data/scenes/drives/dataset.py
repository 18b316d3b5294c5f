"""The embedded drives as a dataset."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.camera import intrinsics
from mtlrepro.data.scenes.drives.classes import class_set
from mtlrepro.data.scenes.drives.layout import FRAMES, Drive, layout
from mtlrepro.data.scenes.drives.worlds import STYLES
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.data.scenes.streets.capture import Capture, capture
from mtlrepro.data.scenes.streets.classes import THINGS
from mtlrepro.data.surface import EVALUATED, check_rule, normals_from_depth
from mtlrepro.errors import unknown

FULL = 2
"""Height and width of the full-resolution picture over those of a sample, as Cityscapes at 512x1024 has it."""


class Drives(Generated):
    """Procedural streets in the style of a dataset; sample i of a split is the same whatever the length.

    A sample holds

    - image (3, H, W) uint8, semseg (H, W) uint8 (255 ignored);
    - depth (H, W) float32 metres, 0 where there is none: style "photo" has the holes that a stereo camera leaves, and
      none in the sky, the two rendered ones have depth everywhere, 655.35 m in the sky;
    - normals (3, H, W) float32 made of depth by the rule; in the val split those of surfaces beyond 80 m are invalid,
      as the published evaluation has it;
    - intrinsics (3, 3) float32, the camera of the sample; placement (3, 3) float32, from the full-resolution picture;
    - with `frames` further frames (2, 3, H, W) uint8, frame_depth (2, H, W) float32 and motion (2, 4, 4) float32: of a
      frame 1/17 s before and one as long after. Vehicles, riders and people move, by themselves.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels; another aspect than the style's camera has stretches the picture.
        length: number of samples.
        seed: another seed is another set of streets.
        classes: 16 (of Cityscapes and Synthia), 14 (of Virtual KITTI 2) or 8 (that these share).
        style: "photo", "game" or "kitti"; they share no street.
        normals: rule by which normals are made of depth, see `mtlrepro.data.surface`.
        frames: whether samples have the frames before and after.

    Raises:
        SpecError: unknown split, set of classes, style or rule, or a size or length below 1.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("*.py", "streets/*.py", "drives/*.py", "../surface.py")

    def __init__(
        self,
        split: str,
        size: tuple[int, int],
        length: int,
        seed: int = 0,
        classes: int = 16,
        style: str = "photo",
        normals: str = "released",
        frames: bool = False,
    ):
        super().__init__(split, size, length, seed)
        if style not in STYLES:
            raise unknown("style", style, STYLES, field="style")
        self.style, self.normals, self.frames = STYLES[style], check_rule(normals), frames
        chosen = class_set(classes)
        self._class_of = torch.tensor([chosen.of.get(name, IGNORE) for name in THINGS], dtype=torch.uint8)
        self.info = DatasetInfo(
            name="drives",
            tasks=("semseg", "depth", "normals"),
            class_names=chosen.names,
            palette=chosen.palette,
            max_depth=80.0,
            surface=normals,
            full_size=(FULL * self.size[0], FULL * self.size[1]),
        )

    def draw(self, number: int) -> Sample:
        """The drive of a number."""
        drive = layout(self.seed, number, self.style)
        now = self._view(drive, 0, number)
        depth, (near, far) = self._depth(now), EVALUATED
        valid = depth > 0 if self.split == "train" else (depth > near) & (depth < far)
        sample = {
            "image": now.image,
            "semseg": self._class_of[now.things.long()],
            "depth": depth,
            "normals": normals_from_depth(depth, self._camera(), self.normals, valid),
            "intrinsics": torch.from_numpy(now.intrinsics).float(),
            "placement": torch.diag(torch.tensor([1 / FULL, 1 / FULL, 1.0])),
        }
        if not self.frames:
            return sample
        others = [self._view(drive, step, number) for step in FRAMES]
        motions = [np.linalg.inv(other.pose) @ now.pose for other in others]
        return {
            **sample,
            "frames": torch.stack([other.image for other in others]),
            "frame_depth": torch.stack([self._depth(other) for other in others]),
            "motion": torch.from_numpy(np.stack(motions)).float(),
        }

    def parameters(self) -> list[Any]:
        """Also style, rule, whether there are frames, and the class of each thing."""
        return [*super().parameters(), self.style.name, self.normals, self.frames, self._class_of.tolist()]

    def _view(self, drive: Drive, step: int, number: int) -> Capture:
        """What the camera sees a number of frames later; every frame has noise of its own."""
        return capture(drive.scene(self.size[1], step), *self.size, seed=number * 3 + step % 3)

    def _depth(self, view: Capture) -> Tensor:
        return view.depth.masked_fill(view.disparity == 0, 0.0) if self.style.stereo else view.depth

    def _camera(self) -> Tensor:
        """(3, 3) float64 intrinsics as the rule for normals wants them; see `mtlrepro.data.surface`."""
        factor = FULL if self.normals == "released" else 1
        return torch.from_numpy(intrinsics(self.style.lens, factor * self.size[0], factor * self.size[1]))
