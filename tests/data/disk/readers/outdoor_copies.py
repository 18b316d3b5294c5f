"""Synthetic copies of the street datasets, written once a test run, and ways to read them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.marker import NAME, Marker, write_marker
from mtlrepro.data.disk.synthesize.cityscapes import CityscapesRelease, CityscapesSequenceRelease
from mtlrepro.data.disk.synthesize.outdoor import StreetRelease
from mtlrepro.data.disk.synthesize.synthia import SynthiaRelease
from mtlrepro.data.disk.synthesize.virtual_kitti2 import VirtualKitti2Release
from mtlrepro.data.sample import Sample

SIZE = (64, 128)
COUNTS = {"train": 4, "val": 1}
RELEASES: dict[str, type[StreetRelease]] = {
    "cityscapes": CityscapesRelease,
    "cityscapes_sequence": CityscapesSequenceRelease,
    "synthia": SynthiaRelease,
    "virtual_kitti2": VirtualKitti2Release,
}

_KEPT: list[tempfile.TemporaryDirectory] = []


@functools.cache
def _original(key: str) -> Path:
    folder = tempfile.TemporaryDirectory(prefix=f"mtlrepro-{key}-")
    _KEPT.append(folder)  # removed when Python ends
    base = Path(folder.name)
    root = base / root_name(key)
    root.mkdir()
    release = RELEASES[key](root, SIZE, 0)
    for split, n in COUNTS.items():
        for _ in release.write(split, n):
            pass
    write_marker(root, Marker(key, COUNTS, SIZE, 0))
    return base


def root_name(key: str) -> str:
    """The folder of a dataset."""
    file = description_file(key)
    assert file is not None
    return load(file).root


def copy(key: str, to: Path, marked: bool = True) -> Path:
    """A copy of a dataset's own, to be damaged; returns its root. Without marker it passes for the real one."""
    root = to / root_name(key)
    shutil.copytree(_original(key) / root.name, root)
    if not marked:
        (root / NAME).unlink()
    return root


def read(key: str, split: str = "train", base: Path | None = None, **options: Any) -> Any:
    """The dataset's reader, on the shared copy if there is no `base`."""
    return DATASETS[key](description_file(key), split, _original(key) if base is None else base, **options)


def release(key: str) -> StreetRelease:
    """The writer of the shared copy."""
    return RELEASES[key](_original(key) / root_name(key), SIZE, 0)


def check_normals(read_back: Sample, rendered: Sample) -> int:
    """Compare normals from stored depth with those from dense depth, up to 20 m; gives the number of pixels.

    The worst may be anywhere: at a jump of depth the products nearly cancel out, and rounding turns what is left.
    """
    near = (rendered["depth"] < 20) & (rendered["normals"] != 0).any(0) & (read_back["normals"] != 0).any(0)
    chord = (read_back["normals"] - rendered["normals"]).double().norm(dim=0)[near]
    degrees = torch.rad2deg(2 * torch.asin((chord / 2).clamp_max(1)))
    assert float(degrees.mean()) < 0.6
    assert float(degrees.quantile(0.99)) < 4
    return int(near.sum())
