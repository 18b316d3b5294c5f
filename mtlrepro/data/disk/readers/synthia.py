"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016) with 16 classes of Cityscapes."""

from __future__ import annotations

from typing import Any

from mtlrepro.data.disk.readers.outdoor import SizeOption
from mtlrepro.data.disk.readers.shuffled import Shuffled


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
