"""NYUD-v2 with 40 classes at 480x640 in the layout of the NYUD_MT release, from the labelled frames of NYU Depth v2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mtlrepro.data.disk.prepare.formats import JPEG_QUALITY, jpeg, lines, npy, png
from mtlrepro.data.disk.prepare.job import Job
from mtlrepro.data.disk.prepare.labelled_mat import LabelledFrames
from mtlrepro.data.disk.prepare.normals import kinect, plane_normals
from mtlrepro.data.disk.prepare.provenance import FILE, page
from mtlrepro.data.disk.readers.pascal_context import context_edges

FILES = ("images/{}.jpg", "segmentation/{}.png", "depth/{}.npy", "normals/{}.npy", "edge/{}.npy")

ROWS = {
    "images/<id>.jpg": ("RGB", f"`images`; JPEG of quality {JPEG_QUALITY} with full colour resolution"),
    "segmentation/<id>.png": ("0 = unlabelled, 1 to 40 = classes", "`labels` through `mapClass`"),
    "depth/<id>.npy": ("(H, W) float32 metres", "`depths`, the in-painted ones: every pixel has a value"),
    "normals/<id>.npy": (
        "(H, W, 3) float32 unit vectors, x right, y down, z forward, facing the camera; zero = invalid",
        "**computed here** from `depths` and the toolbox's intrinsics by least-squares planes; not the release's",
    ),
    "edge/<id>.npy": (
        "(H, W) uint8, 1 = edge",
        "**computed here** from the 40 classes as PASCAL-Context's training edges are from its: where the Laplacian of "
        "the ids is not 0, thinned to one pixel. Unlabelled counts as a class: a gap of up to two pixels between "
        "objects is one line, and larger unlabelled regions have an outline; not the release's",
    ),
    "gt_sets/{train,val}.txt": (
        "ids, one a line",
        "`trainNdxs` and `testNdxs`; an id is the number of the frame from 1, in four digits",
    ),
}


class Nyuv2(Job):
    """The whole frames at their native size; whether the release crops their borders is not known.

    Args:
        source: folder of the files in `sources.NYU`.

    Raises:
        DataError: a file or variable is missing, damaged, or not as the release has it.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, source: Path):
        self._frames = LabelledFrames(source)
        self.source, found = self._frames.source, self._frames.marker
        self.marker = found and replace(found, dataset="nyuv2")
        self.items = {
            f"{frame:04d}": tuple(file.format(f"{frame:04d}") for file in FILES)
            for _, _, frame in self._frames.frames()
        }
        height, width = self._frames.size
        self.item_bytes = height * width * (4 + 12 + 1 + 1)  # depth, normals, edges, and about as much for the rest

    def make(self, item: str) -> dict[str, bytes]:
        """The five files of a frame."""
        frame = int(item)
        labels, depth = self._frames.labels(frame), self._frames.depth(frame)
        return {
            f"images/{item}.jpg": jpeg(self._frames.image(frame)),
            f"segmentation/{item}.png": png(labels),
            f"depth/{item}.npy": npy(depth),
            f"normals/{item}.npy": npy(plane_normals(depth, kinect(self._frames.size))),
            f"edge/{item}.npy": npy(context_edges(labels)),
        }

    def finish(self, folder: Path) -> dict[str, bytes]:
        """Id lists and provenance."""
        lists = {
            f"gt_sets/{split}.txt": lines(f"{frame:04d}" for frame in frames)
            for split, frames in self._frames.splits.items()
        }
        title = "NYUD-v2, 40 classes, in the layout of NYUD_MT"
        return lists | {FILE: page("nyuv2", title, "the labelled frames of NYU Depth v2", ROWS)}

    def close(self) -> None:
        """Close the .mat file."""
        self._frames.close()
