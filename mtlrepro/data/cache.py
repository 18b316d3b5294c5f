"""Decoded samples on disk, for later epochs and later runs.

Decoding and resizing a sample takes tens of milliseconds; mapping its finished tensors into memory and comparing their
checksums takes one or two. A sample is one safetensors file (no pickles, nothing is executed) in a folder whose name
says what can change it: the dataset's digest, the form it is kept in, this package's reading code, the versions and the
processor that made it. So worker processes and runs share files, and a file is never out of date. Files may be deleted
at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
import warnings
import zlib
from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
import PIL
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mtlrepro.data.disk.digest import CONTENTS_UP_TO
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.sample import Dataset, Sample

SCHEMA = 1
SHARE = 0.25
"""A split is kept only if it takes no more than this share of the disk, and what is missing of it no more than this
share of what is free there."""

UNUSED_SECONDS = 30 * 86400.0
"""Age after its last use at which a folder is removed."""

ABANDONED_SECONDS = 3600.0
"""Age at which an unfinished file is taken for what a killed process left."""


class SampleFiles:
    """The files of one split. Whatever happens to them, or to the disk, costs time and nothing else.

    A file appears whole or not at all, and its checksums are compared whenever it is read.

    Args:
        folder: as `folder_of` names it; made when the first sample is written.
    """

    def __init__(self, folder: Path):
        self.folder, self._writing = folder, True

    def read(self, index: int, leave_out: Collection[str] = ()) -> Sample | None:
        """A sample, mapped into memory; None if it is not there or its file is damaged.

        Args:
            index: position in the split.
            leave_out: tensors that are not wanted.
        """
        try:
            with safe_open(self._file(index), framework="pt") as file:
                sums = json.loads(file.metadata()["crc32"])
                sample = {name: file.get_tensor(name) for name in sums if name not in leave_out}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return sample if all(_crc32(value) == sums[name] for name, value in sample.items()) else None

    def write(self, index: int, sample: Sample) -> None:
        """Keep a sample; after the first failure (a full disk, a read-only folder) nothing more is tried."""
        if not self._writing:
            return
        file = self._file(index)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in sample.items()}
        sums = json.dumps({name: _crc32(value) for name, value in tensors.items()})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary, metadata={"crc32": sums})
            temporary.replace(file)
        except (OSError, SafetensorError) as error:
            self._writing = False
            problem = getattr(error, "strerror", None) or error
            warnings.warn(f"decoded samples are not kept in {self.folder}: {problem}", RuntimeWarning, stacklevel=2)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def has_room(self, size: int, count: int) -> bool:
        """Whether the disk has room for what is missing of a split of `count` samples of `size` bytes."""
        try:
            return size * (count - self._tidy()) <= SHARE * shutil.disk_usage(_existing(self.folder)).free
        except OSError:
            return False

    def _tidy(self) -> int:
        """Remove what killed processes left; the number of samples that are there."""
        there = 0
        with contextlib.suppress(OSError):
            for file in self.folder.iterdir():
                if file.suffix == ".safetensors" and not file.name.startswith("."):
                    there += 1
                elif file.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    file.unlink(missing_ok=True)
        return there

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"


def open_files(base: Path, dataset: Folder, form: object, size: int) -> SampleFiles | None:
    """The files of a split in one form; None for a split that is too large for the disk (see `SHARE`), or of
    more files than its digest reads.

    Args:
        base: folder of all splits.
        dataset: the split.
        form: what is done to its samples, as a JSON value.
        size: bytes of one of its samples; the others are taken to be as large.
    """
    if len(dataset) * len(dataset.kinds) > CONTENTS_UP_TO:
        return None  # its digest does not look into the files
    try:
        if size * len(dataset) > SHARE * shutil.disk_usage(_existing(base)).total:
            return None  # before its digest is asked for, which reads all of it
    except OSError:
        return None
    files = SampleFiles(folder_of(base, dataset, form))
    _drop_unused(base, files.folder)
    return files if files.has_room(size, len(dataset)) else None


def _drop_unused(base: Path, used: Path) -> None:
    """Remove folders that no run has opened for a month: those of other versions of this program or of the dataset."""
    with contextlib.suppress(OSError):
        if used.exists():
            os.utime(used)
        for folder in base.iterdir():
            if folder != used and folder.is_dir() and folder.stat().st_mtime < time.time() - UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def folder_of(base: Path, dataset: Dataset, form: object) -> Path:
    """Where the files of a split in one form lie; arguments as for `open_files`."""
    parts = [SCHEMA, dataset.digest(), form, _reading_code(), _machine()]
    name = re.sub(r"[^\w-]", "_", dataset.info.name)  # for the human eye
    return base / f"{name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def nbytes(sample: Sample) -> int:
    """Bytes of a sample's tensors."""
    return sum(value.numel() * value.element_size() for value in sample.values())


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


@cache
def _reading_code() -> str:
    """Digest of the modules that read and resize: another version of them may give other samples."""
    here = Path(__file__).parent
    thinning = here.parent / "metrics" / "boundary"  # of labels that are edges
    folders = (here, here / "transforms", here / "disk", here / "disk" / "readers", thinning)
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def _machine() -> list[str]:
    """What interpolation in float32 may depend on."""
    processor = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    return [torch.__version__, np.__version__, PIL.__version__, *processor]


def _crc32(value: Tensor) -> int:
    form = zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode())
    return zlib.crc32(value.view(-1).view(torch.uint8).numpy().data, form)
