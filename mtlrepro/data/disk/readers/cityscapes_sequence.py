"""Cityscapes with the frames before and after each labelled one, for depth that is learnt without depth labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mtlrepro.data.disk.readers.cityscapes import Cityscapes
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError

STEPS = {"previous": -1, "next": 1}
"""Name of a neighbour in the description -> its frame number minus that of the labelled frame."""


class CityscapesSequence(Cityscapes):
    """One split of Cityscapes; a sample has further

    - `frames` (2, 3, H, W) uint8: the frame before and the frame after, from `leftImg8bit_sequence` or
      `leftImg8bit_sequence_small` as `Cityscapes` tells.

    Labelled frames without one of their neighbours are left out.

    Args:
        size, normals, classes, wall, description, split, root, length, cache: see `Cityscapes`.

    Attributes:
        left_out: how many labelled frames of the split lack a neighbour, under that reason.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`; also if no labelled frame has both neighbours.
    """

    PICTURES = ("image", *STEPS)

    def chosen_ids(self, names: list[str]) -> list[str]:
        """Those with both neighbours."""
        chosen = [name for name in names if all(self._there(step, name) for step in STEPS)]
        lacking = len(names) - len(chosen)
        self.left_out = {"labelled frames without the frame before or after": lacking} if lacking else {}
        if names and not chosen:
            sought = self.candidates("next", names[0])[-1]
            problem = f"no frame beside any of {len(names)} labelled ones; {self.tree.instead(sought)}"
            mend = "Unpack leftImg8bit_sequence_trainvaltest.zip there"
            raise DataError(problem, file=self.root / sought, field="files.next", mend=mend)
        return chosen

    def candidates(self, what: str, name: str) -> tuple[str, ...]:
        """A neighbour's name has the next lower or higher frame number."""
        return super().candidates(what, neighbour(name, STEPS[what]) if what in STEPS else name)

    def assembled(self, image: Tensor, ids: Tensor, depth: Tensor, files: Mapping[str, Path]) -> Sample:
        """A sample with its neighbours and camera."""
        frames = [self.picture(files[what], depth, files["disparity"]) for what in STEPS]
        return {**super().assembled(image, ids, depth, files), "frames": torch.stack(frames)}

    def _there(self, what: str, name: str) -> bool:
        return any(self.tree.holds(path) for path in self.candidates(what, name))


def neighbour(name: str, step: int) -> str:
    """The name of another frame of the same drive.

    Example:
        >>> neighbour("ulm/ulm_000012_000019", -1)
        'ulm/ulm_000012_000018'

    Raises:
        DataError: the name does not end in a frame number.
    """
    match = re.fullmatch(r"(.*_)([0-9]+)", name)
    if match is None:
        mend = "Names are those of the release, such as ulm/ulm_000012_000019"
        raise DataError("does not end in a frame number", file=name, field="id", mend=mend)
    return f"{match[1]}{int(match[2]) + step:0{len(match[2])}d}"
