"""NYUv2 with 13 classes at 288x384 as npy arrays (MTAN's layout), from the labelled frames of NYU Depth v2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mtlrepro.data.disk.prepare.formats import lines, nearest, npy
from mtlrepro.data.disk.prepare.job import Job
from mtlrepro.data.disk.prepare.labelled_mat import LabelledFrames
from mtlrepro.data.disk.prepare.normals import kinect, plane_normals
from mtlrepro.data.disk.prepare.provenance import FILE, MASK_NOTE, page
from mtlrepro.data.scenes.classes import NYU40_TO_13
from mtlrepro.data.transforms.basic import resize_image

SIZE = (288, 384)

KINDS = ("image", "label", "depth", "normal")

THIRTEEN = np.array([-1, *NYU40_TO_13], np.float32)
"""Stored class, 0 (unlabelled) to 40 -> -1 or 0 to 12. The same as the published `class13Mapping.mat`."""

ROWS = {
    "{train,val}/image/<i>.npy": ("288x384x3 float32 in [0, 1]", "`images` / 255, bilinear with antialiasing"),
    "{train,val}/label/<i>.npy": (
        "288x384 float32, -1 = undefined, 0 to 12",
        "`labels` through `mapClass` to 40 classes, then to 13; nearest",
    ),
    "{train,val}/depth/<i>.npy": ("288x384x1 float32 metres", "`depths`, the in-painted ones; nearest"),
    "{train,val}/normal/<i>.npy": (
        "288x384x3 float32 unit vectors, x right, y down, z forward, facing the camera; zero = invalid",
        "**computed here** from `depths` at 480x640 by least-squares planes, then nearest; the release has those of "
        "Eigen and Fergus",
    ),
    "rows/{train,val}.txt": ("line i + 1: number of the frame, from 1, of array i", "`trainNdxs`, `testNdxs`"),
}

NOTES = """## Partial labels

The order of the released arrays is not known, so **published label masks do not fit this copy**: see
`labels/README.md`. Generated masks do.
"""


class Nyuv213(Job):
    """The arrays of both splits, in the order of `splits.mat`.

    Args:
        source: folder of the files in `sources.NYU`.

    Raises:
        DataError: a file or variable is missing, damaged, or not as the release has it.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, source: Path):
        self._frames = LabelledFrames(source)
        self.source, found = self._frames.source, self._frames.marker
        self.marker = found and replace(found, dataset="nyuv2_13", size=SIZE)
        self._frame_of = {f"{split}/{row}": frame for split, row, frame in self._frames.frames()}
        self.items = {item: tuple(item.replace("/", f"/{kind}/") + ".npy" for kind in KINDS) for item in self._frame_of}
        self.item_bytes = SIZE[0] * SIZE[1] * 4 * (3 + 1 + 1 + 3)

    def make(self, item: str) -> dict[str, bytes]:
        """The four arrays of a frame."""
        frame = self._frame_of[item]
        depth = self._frames.depth(frame)
        image = torch.from_numpy(self._frames.image(frame).transpose(2, 0, 1).astype(np.float32) / np.float32(255))
        arrays = (
            resize_image(image, SIZE).permute(1, 2, 0).numpy(),
            THIRTEEN[nearest(self._frames.labels(frame), SIZE)],
            nearest(depth, SIZE)[..., None],
            nearest(plane_normals(depth, kinect(self._frames.size)), SIZE),
        )
        return {file: npy(array) for file, array in zip(self.items[item], arrays, strict=True)}

    def finish(self, folder: Path) -> dict[str, bytes]:
        """The frames' numbers, provenance, and a note where masks are looked for."""
        rows = {f"rows/{split}.txt": lines(map(str, frames)) for split, frames in self._frames.splits.items()}
        text = page("nyuv2_13", "NYUv2, 13 classes, 288x384", "the labelled frames of NYU Depth v2", ROWS, NOTES)
        return rows | MASK_NOTE | {FILE: text}

    def close(self) -> None:
        """Close the .mat file."""
        self._frames.close()
