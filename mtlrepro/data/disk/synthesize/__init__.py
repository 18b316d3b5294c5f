"""The embedded scenes written to disk as a released dataset is: to test readers, and to rehearse without a licence.

A synthetic copy carries a marker (`mtlrepro.data.disk.marker`) by which readers know its counts. Results on one are a
rehearsal, never evidence on a paper.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from mtlrepro.data import description_file
from mtlrepro.data.disk.description import SPLITS, load
from mtlrepro.data.disk.marker import Marker, read_marker, write_marker
from mtlrepro.data.disk.synthesize.draft import draft
from mtlrepro.errors import DataError, SpecError
from mtlrepro.progress import ProgressLine, track
from mtlrepro.registry import Registry

SMALLEST = 32
"""Pixels that height and width must have at least: below, scenes show next to nothing."""

LARGEST = 8192
"""Pixels that height and width may have at most: no release is as large, and one scene of it takes gigabytes."""

FULL = 1 << 20
"""Free bytes below which a disk counts as full: some libraries do not say why they could not write."""

WRITERS = Registry(
    "layout",
    {
        "nyuv2": "mtlrepro.data.disk.synthesize.nyud:NyudRelease",
        "nyuv2_13": "mtlrepro.data.disk.synthesize.mtan:RoomArrays",
        "nyuv2_invpt": "mtlrepro.data.disk.synthesize.nyuv2_invpt:InvptRelease",
        "nyuv2_depth": "mtlrepro.data.disk.synthesize.depth_frames:DepthFrames",
        "nyuv2_video": "mtlrepro.data.disk.synthesize.nyuv2_video:VideoScenes",
        "pascal_context": "mtlrepro.data.disk.synthesize.pascal_context:PascalRelease",
        "cityscapes_7": "mtlrepro.data.disk.synthesize.mtan:StreetArrays",
        "cityscapes_sequence": "mtlrepro.data.disk.synthesize.cityscapes:CityscapesSequenceRelease",
        "cityscapes": "mtlrepro.data.disk.synthesize.cityscapes:CityscapesRelease",
        "taskonomy": "mtlrepro.data.disk.synthesize.taskonomy:TaskonomyRelease",
        "synthia": "mtlrepro.data.disk.synthesize.synthia:SynthiaRelease",
        "virtual_kitti2": "mtlrepro.data.disk.synthesize.virtual_kitti2:VirtualKitti2Release",
        "nyu_depth_v2": "mtlrepro.data.disk.synthesize.raw_nyu:LabelledMat",
    },
)
"""Dataset key, or one of `RAW` -> the `Writer` of its layout."""

RAW = ("nyu_depth_v2",)
"""Layouts that no reader reads: what `mtlrepro data prepare` starts from, in a folder of that name."""

HELD_BY = {"cityscapes": "cityscapes_sequence"}
"""Dataset key -> another one in the same folder, whose copy has all its files and more."""


def synthesize(
    name: str,
    directory: Path,
    counts: Mapping[str, int],
    size: tuple[int, int] | None = None,
    seed: int = 0,
    progress: ProgressLine | None = None,
) -> Path:
    """Write scenes in the layout of a dataset. A copy that is already there with the same parameters is kept.

    The copy is complete or absent: it is written under another name and renamed at the end. An empty folder in its
    place is used.

    Args:
        name: a key of `WRITERS`.
        directory: the data root to write to; the layout's own folder is made in it.
        counts: split -> number of samples; a split that the layout does not have is left out.
        size: (height, width) of the images; by default as in the release.
        seed: another seed is another set of scenes.
        progress: where to show progress; by default in a line on a terminal.

    Returns:
        The layout's root folder.

    Raises:
        SpecError: unknown layout, a count below 1 or a size out of `SMALLEST` to `LARGEST`.
        DataError: something else is in the way, or the files cannot be written.
        MissingExtra: the layout's byte format needs a module that is not installed.
    """
    cls, (folder, splits) = WRITERS[name], _place(name)
    height, width = size or cls.native
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        mend = f"Give a height and a width of at least {SMALLEST} and at most {LARGEST}"
        raise SpecError(f"{height}x{width} pixels", file=name, field="size", mend=mend)
    counts = {split: counts[split] for split in splits if split in counts}
    for split, n in counts.items():
        if n < 1:
            raise SpecError(f"{n} samples", file=name, field=split, mend="Give a positive number")
    marker = Marker(name, counts, (height, width), seed)
    root = Path(directory) / folder
    if not _is_free(root):
        _check_same(root, marker)
        return root
    try:
        with draft(root) as partial:
            writer = cls(partial, (height, width), seed)
            steps = (step for split, n in counts.items() for step in writer.write(split, n))
            for _ in track(steps, sum(counts.values()), f"samples of {name}", progress):
                pass
            write_marker(partial, marker)
            _rename(partial, root, marker)
    except OSError as error:
        problem = f"cannot be written ({_reason(error, root.parent)})"
        mend = "Free space, change permissions, or choose another folder"
        raise DataError(problem, file=root, mend=mend) from None
    return root


def find_copy(name: str, directory: Path) -> Marker | None:
    """What the marker of a dataset's folder says, if that is a copy of this dataset or of one that holds it.

    Raises:
        DataError: the marker is damaged.
    """
    there = read_marker(Path(directory) / _place(name)[0])
    held = there is not None and there.dataset in (name, HELD_BY.get(name))
    return there if held else None


def _place(name: str) -> tuple[str, Collection[str]]:
    """A layout's folder, and its splits."""
    if name in RAW:
        return name, SPLITS
    description = load(description_file(name) or name)
    return description.root, description.splits


def _is_free(root: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    if not os.path.lexists(root):
        return True
    try:
        return not root.is_symlink() and not os.listdir(root)
    except OSError:
        return False


def _rename(folder: Path, root: Path, marker: Marker) -> None:
    """Give a complete copy its name, unless another process has made the same in the meantime."""
    try:
        folder.rename(root)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        _check_same(root, marker)


def _reason(error: OSError, folder: Path) -> str:
    """Why writing failed; numpy and HDF5 do not always tell that a disk is full."""
    if folder.is_dir() and shutil.disk_usage(folder).free < FULL:
        return os.strerror(errno.ENOSPC)
    return error.strerror or str(error)


def _check_same(root: Path, marker: Marker) -> None:
    """What is there must be the copy that was asked for, or one that holds it."""
    there = read_marker(root)
    if there is None:
        problem = "is there already and is not a synthetic copy; it is left as it is"
        raise DataError(problem, file=root, mend="Choose another folder")
    if there not in (marker, replace(marker, dataset=HELD_BY.get(marker.dataset, marker.dataset))):
        counts = ", ".join(f"{n} {split}" for split, n in there.counts.items())
        told = f"{there.dataset}, {counts}, {there.size[0]}x{there.size[1]}, seed {there.seed}"
        problem = f"a synthetic copy with other parameters is there already ({told})"
        raise DataError(problem, file=root, mend="Delete it, or choose another folder")
