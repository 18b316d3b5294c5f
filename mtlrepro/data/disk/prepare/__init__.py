"""Datasets made from the raw public files where the form that papers use is derived: `mtlrepro data prepare NAME`.

Everything is made in a folder beside the target, which takes its name when it is complete. An interrupted preparation
goes on where it stopped, and ends with the same bits.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.prepare import sources
from mtlrepro.errors import unknown


class Preparation(NamedTuple):
    """How a dataset can be made.

    Attributes:
        target: `"module:attribute"` of the `Job`.
        help: one line on what it does.
        needs: files of the source folder -> what they are and where they come from.
    """

    target: str
    help: str
    needs: dict[str, str]


PREPARATIONS: dict[str, Preparation] = {
    "nyuv2": Preparation(
        "mtlrepro.data.disk.prepare.nyuv2:Nyuv2",
        "NYUD_MT at 480x640 from the labelled .mat file; normals and edges are computed, not the release's (8 GB)",
        sources.NYU,
    ),
    "nyuv2_13": Preparation(
        "mtlrepro.data.disk.prepare.nyuv2_13:Nyuv213",
        "npy arrays at 288x384 from the labelled .mat file; their order is not that of the published masks (5 GB)",
        sources.NYU,
    ),
    "cityscapes_7": Preparation(
        "mtlrepro.data.disk.prepare.cityscapes_7:Cityscapes7",
        "npy arrays at 128x256 from the raw release; their order is not that of the published mask (3 GB)",
        sources.CITYSCAPES,
    ),
}
"""Dataset key -> how it is made."""


def target_of(name: str, data_root: Path | str) -> Path:
    """The folder that a dataset is prepared in.

    Raises:
        SpecError: there is no such preparation.
    """
    from mtlrepro.data.disk.description import load

    if name not in PREPARATIONS:
        raise unknown("preparation", name, PREPARATIONS)
    return Path(data_root) / load(LAYOUTS / f"{name}.toml").root


def prepare(
    name: str, source: Path | str, data_root: Path | str, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Make a dataset from raw files. Nothing is written outside of its folder, and nothing is overwritten.

    What was made from the same source by the same versions before is kept as it is.

    Args:
        name: dataset key, one of `PREPARATIONS`.
        source: folder of the raw files.
        data_root: folder that the dataset's own folder comes to.
        progress: called with the number of samples that are done, and of all.

    Returns:
        The dataset's folder.

    Raises:
        SpecError: there is no such preparation.
        DataError: the source is not as the release has it, something else is there already, or the disk is too small.
        StoreError: a file cannot be written.
        MissingExtra: the source's format needs a module that is not installed.
    """
    from mtlrepro.data.disk.prepare.job import build, check_free
    from mtlrepro.data.disk.prepare.record import new_record, read_record

    target = target_of(name, data_root)
    made = read_record(target) if target.is_dir() else None
    if made is None or made.get("dataset") != name:
        check_free(target)  # before the source is opened, which may take a while
    module, attribute = PREPARATIONS[name].target.split(":")
    with getattr(importlib.import_module(module), attribute)(Path(source)) as job:
        if made is not None and made == new_record(name, job.source):
            return target
        return build(name, job, target, progress)
