"""The sets of classes that drives are labelled with: those of the datasets that each style stands for."""

from __future__ import annotations

from typing import NamedTuple

from mtlrepro.data import dataset_info
from mtlrepro.data.disk.readers.cityscapes import EIGHT, SIXTEEN
from mtlrepro.data.scenes.streets.classes import AS_SIXTEEN, AS_VIRTUAL_KITTI
from mtlrepro.errors import SpecError
from mtlrepro.spec import options


class ClassSet(NamedTuple):
    """Names and colours of classes, and thing -> class id; what it lacks is ignored."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    of: dict[str, int]


def _eight() -> dict[str, int]:
    """Through the 16 classes, as Cityscapes has them; trucks are vehicles, as those of Virtual KITTI 2 are."""
    groups = {name: i for i, group in enumerate(EIGHT.values()) for name in group}
    found = {thing: groups[SIXTEEN[i]] for thing, i in AS_SIXTEEN.items() if SIXTEEN[i] in groups}
    return {**found, "truck": found["car"]}


def class_set(classes: int) -> ClassSet:
    """16 as Cityscapes and Synthia share, 14 of Virtual KITTI 2, or the 8 that it shares with Cityscapes.

    Raises:
        SpecError: there is no such set.
    """
    if classes not in _SETS:
        raise SpecError(f"no set of {classes!r} classes", field="classes", mend="Give 16, 14 or 8")
    dataset, of = _SETS[classes]
    info = dataset_info(dataset, options(classes=classes))
    return ClassSet(info.class_names, info.palette, of)


_SETS = {16: ("cityscapes", AS_SIXTEEN), 14: ("virtual_kitti2", AS_VIRTUAL_KITTI), 8: ("cityscapes", _eight())}
