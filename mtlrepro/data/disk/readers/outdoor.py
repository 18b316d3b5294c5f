"""What the readers of street scenes share: one size for everything, normals from depth, subsets of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mtlrepro.data.disk.description import Description
from mtlrepro.data.disk.encodings import IGNORE, read_image, read_label
from mtlrepro.data.disk.folder import Folder, check_size
from mtlrepro.data.disk.readers.resizing import lanczos, nearest
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.surface import EVALUATED, camera_matrix, check_rule, normals_from_depth
from mtlrepro.errors import SpecError

Groups = Mapping[str, tuple[str, ...]]
"""Class name -> the described classes that it consists of; the others are ignored."""

SizeOption = tuple[int, int] | None

NORMALS = {
    "released": "made as in the public code",
    "metric": "correct geometry, errors cannot be compared with printed ones",
}
"""What a report says of normals, by the rule that made them."""


class Outdoor(Folder):
    """One split of a set of street scenes with class ids and depth, delivered at the network's input size.

    Pictures are resized by Pillow's Lanczos filter, class ids by Pillow's nearest rule, depth by `NEAREST`. Normals
    are made of the resized depth (`mtlrepro.data.surface`, which tells their axes); in the val split those of
    surfaces beyond 80 m are invalid, as the published evaluation has it. Samples carry `intrinsics` and `placement`
    (see `mtlrepro.data.sample`), so that normals can be made again of a training picture that was mirrored or cut.

    Args:
        size: (height, width) of the samples; None keeps that of the files.
        normals: "released", as the public reference implementation makes them: from inverse depth with intrinsics that
            are not scaled; "metric": correct geometry (`mtlrepro.data.surface`). Errors of the two cannot be compared.
        classes: which set of classes, by its number; None takes `CLASSES`.
        description, split, root, length, cache: see `Folder`.

    Attributes:
        CLASS_SETS: number of classes -> how they are made of those described; None is as described.
        CLASSES: the usual number.
        NEAREST: how depth is resized, see `mtlrepro.data.disk.readers.resizing`.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`.
    """

    CLASS_SETS: ClassVar[Mapping[int, Groups | None]]
    CLASSES: ClassVar[int]
    NEAREST: ClassVar[str] = "floor"

    def __init__(
        self,
        *args: Any,
        size: SizeOption = None,
        normals: str = "released",
        classes: int | None = None,
        **options: Any,
    ):
        self.size = None if size is None else (size[0], size[1])
        self.normals = check_rule(normals)
        self.classes = self.CLASSES if classes is None else classes
        self._groups = self.groups(**self.parameters())
        super().__init__(*args, **options)
        self._table = _class_table(self.description.classes, self._groups)

    @property
    def info(self) -> DatasetInfo:
        """What models, metrics and pictures need to know."""
        info = _described(self.description, self._groups, self.normals)
        return info if self.marker is None else replace(info, full_size=self.marker.size)

    @classmethod
    def info_of(cls, description: Description, **options: Any) -> DatasetInfo:
        """`info` without any file, given the reader's options."""
        return _described(description, cls.groups(**options), check_rule(options.get("normals", "released")))

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on, given the reader's options; see `Folder.remark`.

        Raises:
            SpecError: unknown rule for normals.
        """
        rule = check_rule(options.get("normals", "released"))
        return f"normals={rule} ({NORMALS[rule]})"

    @classmethod
    def groups(cls, **options: Any) -> Groups | None:
        """How the classes that the reader's options choose are made of those described; None is as described.

        Raises:
            SpecError: there is no such set.
        """
        classes = options.get("classes", cls.CLASSES)
        if classes not in cls.CLASS_SETS:
            known = " or ".join(map(str, cls.CLASS_SETS))
            raise SpecError(f"{classes!r} classes", field="classes", mend=f"Give {known}")
        return cls.CLASS_SETS[classes]

    def parameters(self) -> dict[str, Any]:
        """Options of the reader that change samples."""
        return {"size": self.size, "normals": self.normals, "classes": self.classes}

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample at the reader's size."""
        image = read_image(files["image"])
        ids = self.stored_classes(files)
        depth = self.stored_depth(files)
        check_size(ids, image, "semseg", files["semseg"], files["image"])
        check_size(depth, image, "depth", files["depth"], files["image"])
        return self.assembled(lanczos(image, self.size or size_of(image)), ids, depth, files)

    def stored_classes(self, files: Mapping[str, Path]) -> Tensor:
        """(H, W) uint8 ids of the chosen set of classes as stored, 255 = ignore."""
        return self._table[self.described_classes(files["semseg"]).long()]

    def described_classes(self, file: Path) -> Tensor:
        """(H, W) uint8 ids of the classes that the description names, 255 = ignore."""
        return read_label("semseg", file, self.description.tasks["semseg"], self.description)

    def stored_depth(self, files: Mapping[str, Path]) -> Tensor:
        """(H, W) float32 metres as stored, 0 = invalid."""
        return read_label("depth", files["depth"], self.description.tasks["depth"], self.description)

    def assembled(self, image: Tensor, ids: Tensor, depth: Tensor, files: Mapping[str, Path]) -> Sample:
        """A sample of a picture that is at its size already, and of stored class ids and depth."""
        size, stored = size_of(image), depth
        depth = nearest(stored, size, self.NEAREST)
        full = size_of(stored)
        camera = self.camera(files, full)
        intrinsics = camera_matrix(camera, full if self.normals == "released" else size)
        near, far = EVALUATED
        valid = depth > 0 if self.split == "train" else (depth > near) & (depth < far)
        return {
            "image": image,
            "semseg": nearest(ids, size, "centre"),
            "depth": depth,
            "normals": normals_from_depth(depth, intrinsics, self.normals, valid),
            "intrinsics": camera_matrix(camera, size).float(),
            "placement": torch.tensor([size[1] / full[1], size[0] / full[0], 1.0]).diag(),
        }

    def camera(self, files: Mapping[str, Path], stored: tuple[int, int]) -> Mapping[str, float]:
        """A sample's camera, see `mtlrepro.data.surface.camera_matrix`, given the (height, width) of stored labels."""
        return self.description.camera


def _class_table(names: tuple[str, ...], groups: Groups | None) -> Tensor:
    """(256,) uint8: described class -> class of the chosen set, 255 = ignore."""
    table = torch.full((256,), IGNORE, dtype=torch.uint8)
    for class_id, group in enumerate([(name,) for name in names] if groups is None else groups.values()):
        table[[names.index(name) for name in group]] = class_id
    return table


def _described(description: Description, groups: Groups | None, normals: str) -> DatasetInfo:
    """What a description tells, with other classes; a class takes the colour of the first that it consists of."""
    full = (int(description.camera["height"]), int(description.camera["width"]))
    info = replace(description.info, surface=normals, full_size=full)
    if groups is None:
        return info
    colours = dict(zip(description.classes, description.palette, strict=True))
    return replace(info, class_names=tuple(groups), palette=tuple(colours[group[0]] for group in groups.values()))


def size_of(tensor: Tensor) -> tuple[int, int]:
    """Height and width of a map or a picture."""
    return tensor.shape[-2], tensor.shape[-1]
