"""PASCAL-Context with five tasks, as the public reference implementation of ASTMT distributes it (folder PASCAL_MT).

What a description alone cannot tell: parts and edges lie in MATLAB files, and which normals are valid does too.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtlrepro.data.disk import arrays
from mtlrepro.data.disk.arrays import check_regular, read_mat
from mtlrepro.data.disk.description import Description
from mtlrepro.data.disk.encodings import IGNORE, read_image, read_label
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.readers.remembered import Remembered
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.progress import track

PERSON = 15
"""Category of people among the objects of PASCAL-Part."""

PART_NAMES = (
    (),
    ("head", "hair", "lear", "rear", "leye", "reye", "lebrow", "rebrow", "nose", "mouth"),
    ("torso", "neck"),
    ("luarm", "ruarm"),
    ("llarm", "rlarm", "lhand", "rhand"),
    ("luleg", "ruleg"),
    ("llleg", "rlleg", "lfoot", "rfoot"),
)
"""PASCAL-Part's names of what each of the parts 1 ... 6 is made of (0 is background): head, torso, upper arms, lower
arms, upper legs, lower legs."""

PART_OF = {name: part for part, names in enumerate(PART_NAMES) for name in names}

CONTEXT_CLASSES = 459

SAME_SHAPE = 1.05
"""Labels may be of another size than their image, but their aspect ratios differ by no more than this factor."""

# fmt: off
VALID_NORMALS = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53, 55, 56,
    59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111, 113, 115, 122, 124,
    135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191, 193, 195, 197, 199, 202, 213,
    215, 216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255, 260, 261, 263, 269,
    272, 273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309, 310, 314, 315, 319, 323,
    329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379, 380, 383, 384, 397, 401, 403,
    405, 407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430, 432, 440, 441, 442, 443, 444, 446, 454, 457,
)
# fmt: on
"""Ids of the PASCAL-Context classes whose distilled normals count: those whose name NYUv2 knows too, and tvmonitor."""


class PascalContext(Folder):
    """One split of PASCAL-Context, pictures of varying size. Labels of another size than their image are resized,
    those of another shape refused.

    - semseg, saliency: as described.
    - parts: the parts of all people, later ones over earlier ones; all 255 where no part of a person is annotated.
    - normals: distilled from a network; valid where the class among the 459 is one of `VALID_NORMALS`.
    - edges: where the Laplacian of the map of 459 classes is not 0, thinned. These are what networks are trained on.
    - segments: that map itself. Boundary figures are judged by its contour, which is drawn on the upper left of each
      change; the edges lie on either side of it.

    Args:
        description, split, root, length, cache: see `Folder`.
        with_people: keep only images with a person among their annotated objects, as the published single-task runs
            on parts do, in training and evaluation. Which they are is read from `ImageSets/Parts/<split>.txt` if
            that list has just the split's ids, else from all files of `human_parts`, which takes minutes the first
            time.

    Raises:
        DataError: see `Folder`.
    """

    def __init__(
        self,
        description: Description | Path | str,
        split: str,
        root: Path | str | None = None,
        length: int | None = None,
        cache: Path | str | None = None,
        *,
        with_people: bool = False,
    ):
        self.with_people = with_people
        super().__init__(description, split, root, length, cache)

    def chosen_ids(self, names: list[str]) -> list[str]:
        """All, or those with people."""
        if not self.with_people:
            return names
        listed = self._listed_categories(names)
        found = self._scanned_categories(names) if listed is None else listed
        chosen = [name for name in names if PERSON in found[name]]
        if not chosen:
            mend = "Restore human_parts and ImageSets/Parts from the release, or leave with_people out"
            raise DataError(f"no image of the {self.split} split shows a person", file=self.root, mend=mend)
        return chosen

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample; `image` (3, H, W) uint8, the five labels, and `segments`."""
        image = read_image(files["image"])
        size = (image.shape[-2], image.shape[-1])
        classes = read_context(files["context"])
        tasks = self.description.tasks
        labels = {task: read_label(task, files[task], tasks[task], self.description) for task in tasks if task in files}
        labels["parts"] = read_parts(files["people"], size)
        labels["edges"] = torch.from_numpy(context_edges(classes))
        sources = {**files, "parts": files["people"], "edges": files["context"]}
        labels = {task: fitted(label, size, sources[task], task) for task, label in labels.items()}
        valid = fitted(torch.from_numpy(_HAS_NORMALS[classes]), size, files["context"], "normals")
        labels["normals"] = torch.where(valid, labels["normals"], 0.0)
        segments = fitted(torch.from_numpy(segments_of(classes)), size, files["context"], "edges")
        return {"image": image, **{task: labels[task] for task in tasks}, "segments": segments}

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on: the images that boundaries are judged on; "" of `with_people`."""
        if options.get("with_people"):
            return ""
        return (
            "boundaries=all val images (the figures odsF of public codes are over a list of 2498 of the 5105, which is "
            "not public in a form that could be checked)"
        )

    def expected(self) -> dict[str, int] | None:
        """How many have people is nowhere published."""
        return None if self.with_people else super().expected()

    def _listed_categories(self, names: list[str]) -> dict[str, list[int]] | None:
        """Categories of the objects of each id, from the release's own list if there is one for these ids."""
        path = f"ImageSets/Parts/{self.split}.txt"
        if not self.tree.holds(path):
            return None
        file = self.root / path
        try:
            check_regular(file)
            listed = json.loads(file.read_text(encoding="utf-8"))
            good = isinstance(listed, dict) and all(isinstance(values, list) for values in listed.values())
            problem = "" if good else "not an object of lists"
        except (OSError, ValueError, RecursionError) as error:
            problem = f"not valid JSON ({error})"
        if problem:
            mend = "Restore it or delete it: without it human_parts is read in its place"
            raise DataError(problem, file=file, mend=mend)
        return listed if listed.keys() == set(names) else None

    def _scanned_categories(self, names: list[str]) -> dict[str, list[int]]:
        code = (__file__, arrays.__file__)
        known = Remembered(self.cache, "pascal_context-people", self.root, self.parameters(), code)
        found = {}
        try:
            for name in track(names, len(names), f"files of {self.split} looked through for people"):
                path = self.candidates("people", name)[0]
                found[name] = known.get(name, [path], functools.partial(categories, self.root / path))
        finally:  # an interruption costs one file, not all
            known.save()
        return found


def read_context(file: Path) -> np.ndarray:
    """The map of PASCAL-Context's classes, (H, W) uint16 of 0 ... 459.

    Raises:
        DataError: missing, damaged, without `LabelMap`, or with an id out of range.
    """
    array = _variable(file, "LabelMap")
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not array.size or array.dtype.kind not in "uif":
        form = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise _damaged(file, "LabelMap", f"{form}, expected a map (H, W) of class ids")
    with np.errstate(invalid="ignore"):  # what is not a number is refused below
        ids = array.astype(np.int64)
    wrong = (ids != array) | (ids < 0) | (ids > CONTEXT_CLASSES)
    if wrong.any():
        problem = f"class id {array[wrong][0]:g} ({int(wrong.sum())} pixels), expected 0 to {CONTEXT_CLASSES}"
        raise _damaged(file, "LabelMap", problem)
    return ids.astype(np.uint16)


def context_edges(classes: np.ndarray) -> np.ndarray:
    """Edges (H, W) uint8 {0, 1} of a class map (H, W), one pixel wide.

    Where the 4-neighbour Laplacian of the ids is not 0 (the map is mirrored at its border, without the border row
    itself), thinned until nothing changes.
    """
    ids = np.pad(classes.astype(np.float64), 1, mode="reflect")
    laplacian = ids[:-2, 1:-1] + ids[2:, 1:-1] + ids[1:-1, :-2] + ids[1:-1, 2:] - 4 * ids[1:-1, 1:-1]
    return thin(laplacian).astype(np.uint8)


def segments_of(classes: np.ndarray) -> np.ndarray:
    """A class map (H, W) of 0 ... 459 as the segments of a sample, int32: ids from 255 on are one more."""
    return classes.astype(np.int32) + (classes >= IGNORE)  # 255 is a class here, and no label elsewhere


def read_parts(file: Path, size: tuple[int, int]) -> Tensor:
    """The parts of all people, (H, W) uint8 of 0 ... 6; all 255, of the size given, where there are none.

    Args:
        file: MATLAB file of PASCAL-Part.
        size: (height, width) of the image.

    Raises:
        DataError: missing, damaged, not PASCAL-Part's struct, or with a part of another name.
    """
    found: np.ndarray | None = None
    for i, thing in enumerate(_objects(file)):
        if thing["class_ind"] != PERSON:
            continue
        for j, part in enumerate(_structs(thing["parts"])):
            field = f"anno.objects({i + 1}).parts({j + 1})"
            name, mask = part.get("part_name"), part.get("mask")
            if name not in PART_OF:
                raise _damaged(file, field, f"part_name {name!r} is none of {', '.join(sorted(PART_OF))}")
            mask = _mask(file, field, mask)
            found = np.zeros(mask.shape, np.uint8) if found is None else found
            if mask.shape != found.shape:
                shapes = ["x".join(map(str, shape)) for shape in (mask.shape, found.shape)]
                raise _damaged(file, field, f"mask is {shapes[0]}, those before it are {shapes[1]}")
            found[mask] = PART_OF[name]
    return torch.full(size, IGNORE, dtype=torch.uint8) if found is None or not found.any() else torch.from_numpy(found)


def categories(file: Path) -> list[int]:
    """The category of every annotated object, -1 for one without a pixel.

    Raises:
        DataError: see `read_parts`.
    """
    return [
        thing["class_ind"] if _mask(file, f"anno.objects({i + 1})", thing["mask"]).any() else -1
        for i, thing in enumerate(_objects(file))
    ]


def fitted(label: Tensor, size: tuple[int, int], file: Path, task: str) -> Tensor:
    """A label (..., H, W) at the size of its image; pixel i of m takes pixel floor(i n / m) of n.

    Args:
        label: the label.
        size: (height, width) of the image.
        file: which the label is from.
        task: of the label.

    Raises:
        DataError: the two differ in shape (`SAME_SHAPE`): one of them was rotated or cropped.
    """
    across = sorted((label.shape[-2] * size[1], label.shape[-1] * size[0]))
    if across[1] > SAME_SHAPE * across[0]:
        sizes = ["x".join(map(str, each)) for each in (label.shape[-2:], size)]
        problem = f"label is {sizes[0]} (height x width), but its image is {sizes[1]}, which is of another shape"
        mend = "Restore label and image from the release; one of them was rotated or cropped"
        raise DataError(problem, file=file, field=task, mend=mend)
    for dim, new in ((-2, size[0]), (-1, size[1])):
        old = label.shape[dim]
        if old != new:
            label = label.index_select(dim, torch.arange(new) * old // new)
    return label


_HAS_NORMALS = np.isin(np.arange(CONTEXT_CLASSES + 1), VALID_NORMALS)


def _objects(file: Path) -> list[dict[str, Any]]:
    anno = _variable(file, "anno")
    if not isinstance(anno, dict) or "objects" not in anno:
        raise _damaged(file, "anno", "not PASCAL-Part's struct: it has no field objects")
    found = _structs(anno["objects"])
    for i, thing in enumerate(found):
        for key in ("class_ind", "mask", "parts"):
            if key not in thing:
                raise _damaged(file, f"anno.objects({i + 1})", f"has no field {key}")
        try:
            thing["class_ind"] = int(thing["class_ind"])
        except (TypeError, ValueError):
            raise _damaged(file, f"anno.objects({i + 1}).class_ind", f"{thing['class_ind']!r} is no number") from None
    return found


def _structs(value: Any) -> list[dict[str, Any]]:
    """The elements of a struct array, which MATLAB's readers give as one element, as several, or as nothing."""
    if isinstance(value, dict):
        return [value]
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list | np.ndarray) else []


def _mask(file: Path, field: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "uib":
        raise _damaged(file, field, "has no mask (H, W) of 0 and 1")
    return value.astype(bool)


def _variable(file: Path, name: str) -> Any:
    variables = read_mat(file)
    if name not in variables:
        raise _damaged(file, name, f"no such variable; the file holds {', '.join(sorted(variables)) or 'nothing'}")
    return variables[name]


def _damaged(file: Path, field: str, problem: str) -> DataError:
    return DataError(problem, file=file, field=field, mend="Restore the file from the release")
