"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016) with 16 classes of Cityscapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from mtlrepro.data.disk.arrays import PNG, read_start
from mtlrepro.data.disk.readers.outdoor import SizeOption
from mtlrepro.data.disk.readers.shuffled import Shuffled
from mtlrepro.errors import DataError

SEVERAL_OF_16_BITS = (b"\x10\x02", b"\x10\x06")
"""What the header of a PNG says at byte 24 of RGB and RGBA with 16 bits a channel."""


class Synthia(Shuffled):
    """One part of the 9,400 images: class ids, depth (the sky at 655.35 m, a depth like others), normals from depth.

    Args:
        size: (height, width) of the samples; None keeps that of the files.
        normals: "released", as the public reference implementation makes them: from inverse depth with intrinsics that
            are not scaled; "metric": correct geometry (`mtlrepro.data.surface`). Errors of the two cannot be compared.
        policy: "released", as the public reference implementation splits: most of val is in train, too; "disjoint": no
            image is in both; "all": train is all images, val included, to adapt from them to another dataset.
        split_seed: of the permutations that the splits are cut from; the published runs take the run's own seed.
        description, split, root, length, cache: see `Folder`.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`.
    """

    CLASS_SETS = {16: None}
    CLASSES = 16

    def __init__(
        self,
        *args: Any,
        size: SizeOption = None,
        normals: str = "released",
        policy: str = "released",
        split_seed: int = 42,
        **options: Any,
    ):
        super().__init__(*args, size=size, normals=normals, policy=policy, split_seed=split_seed, **options)

    def described_classes(self, file: Path) -> Tensor:
        """Ids as released, in the first of several channels of 16 bits: what is stored otherwise holds other values."""
        start = read_start(file, 26)
        if start.startswith(PNG) and start[24:] not in SEVERAL_OF_16_BITS:
            problem = "not a PNG of several channels of 16 bits"
            mend = "Restore the labels after Cityscapes; a converted file or GT/COLOR holds other values"
            raise DataError(problem, file=file, field="semseg", mend=mend)
        return super().described_classes(file)
