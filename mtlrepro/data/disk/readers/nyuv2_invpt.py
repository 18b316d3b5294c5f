"""NYUD-v2 as InvPT distributes it, at its own size or resized beforehand as DenseMTL's loader does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro import errors
from mtlrepro.data.disk.arrays import read_pixels
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.readers.outdoor import SizeOption
from mtlrepro.data.disk.readers.resizing import lanczos, nearest
from mtlrepro.data.sample import Sample
from mtlrepro.data.transforms.rescale import resize_linear

UNKNOWN = {
    "invalid": "pixels without a normal do not count",
    "direction": "mid-grey, which stands for no normal, is a direction, as in the public code of InvPT and DenseMTL",
}
"""What becomes of pixels whose normal is not known, as a report says it."""


class InvptNYUD(Folder):
    """One split of NYUD-v2 in the form of InvPT.

    With `resized`, samples are delivered at that size and evaluated at it, as DenseMTL has it (public reference
    implementation): pictures by Pillow's Lanczos filter, class ids and depth by OpenCV's nearest rule, normals by
    Pillow's, and edges interpolated and then taken wherever anything of them is left, which thickens them. That
    implementation masks no normals either, which is `unknown="direction"`.

    Args:
        resized: (height, width) of the samples; None keeps that of the files.
        unknown: "invalid": pixels without a normal, stored as mid-grey or black, do not count; "direction": they are
            turned into unit vectors like all others, and every pixel counts.
        description, split, root, length, cache: see `Folder`.

    Raises:
        DataError: see `Folder`.
        SpecError: an `unknown` that does not exist.
    """

    def __init__(self, *args: Any, resized: SizeOption = None, unknown: str = "invalid", **options: Any):
        self.resized = None if resized is None else (resized[0], resized[1])
        self.unknown = _check_unknown(unknown)
        super().__init__(*args, **options)

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on, given the reader's options: a report says it below its tables.

        Raises:
            SpecError: an `unknown` that does not exist.
        """
        unknown = _check_unknown(options.get("unknown", "invalid"))
        return f"unknown={unknown} ({UNKNOWN[unknown]})"

    def parameters(self) -> dict[str, Any]:
        """Options of the reader that change samples."""
        resized = {} if self.resized is None else {"resized": self.resized}
        return resized if self.unknown == "invalid" else {**resized, "unknown": self.unknown}

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample at the reader's size."""
        sample, size = super().read(name, files), self.resized
        if self.unknown == "direction":
            sample["normals"] = _completed(sample["normals"], files["normals"])
        if size is None:
            return sample
        return {
            "image": lanczos(sample["image"], size),
            "semseg": nearest(sample["semseg"], size, "floor"),
            "depth": nearest(sample["depth"], size, "floor"),
            "normals": nearest(sample["normals"], size, "centre"),
            "edges": (resize_linear(sample["edges"].float()[None], size)[0] > 0).to(torch.uint8),
        }


def _completed(normals: Tensor, file: Path) -> Tensor:
    """Normals (3, H, W) with what their file stores wherever they are zero vectors."""
    stored = torch.from_numpy(read_pixels(file)[0]).movedim(-1, 0).float()
    # 8 bits store no zero: 127 and 128 lie on either side of it, so every pixel has a direction.
    return torch.where((normals != 0).any(0), normals, F.normalize(stored * 2 / 255 - 1, dim=0))


def _check_unknown(name: str) -> str:
    if name not in UNKNOWN:
        raise errors.unknown("reading of unknown normals", name, UNKNOWN, field="unknown")
    return name
