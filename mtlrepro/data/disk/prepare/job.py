"""The frame of every preparation: one folder that is complete or absent, whatever happens while it is made.

Files are written to `<root>.partial`, each under another name first. Who starts again after an interruption finds
there what is done and from which source, makes the rest, and has the same bits as without the interruption.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtlrepro.data.disk.marker import Marker, write_marker
from mtlrepro.data.disk.prepare.record import NAME, new_record, read_record
from mtlrepro.errors import DataError
from mtlrepro.files import write_bytes, write_json

SPARE = 1.05
"""Factor on the bytes that a preparation is expected to need, for what a file system adds."""


class Job(ABC):
    """What is to be made of a source, file by file. Opening one checks the source; it is a context manager.

    Attributes:
        source: what tells this source from another, as JSON values.
        items: name of a sample -> the files that are made of it (relative paths, forward slashes), in order.
        item_bytes: about the size of all files of one item.
        marker: of what is made, if the source is a synthetic copy; else None.
    """

    marker: Marker | None
    source: dict[str, Any]
    items: dict[str, tuple[str, ...]]
    item_bytes: int

    @abstractmethod
    def make(self, item: str) -> dict[str, bytes]:
        """The files of an item: path -> content; a function of the source alone."""

    @abstractmethod
    def finish(self, folder: Path) -> dict[str, bytes]:
        """What is written last: id lists, provenance.

        Args:
            folder: where the files of all items are.
        """

    def close(self) -> None:  # noqa: B027 - only some sources stay open
        """Let go of the source."""

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def check_free(target: Path) -> None:
    """A target must not exist, and the folder it comes to must.

    Raises:
        DataError: otherwise.
    """
    if os.path.lexists(target):
        mend = "Move it away, or choose another data root; a prepared dataset is never overwritten"
        raise DataError("is there already", file=target, mend=mend)
    if not target.parent.is_dir():
        raise DataError("no such folder", file=target.parent, mend="Make it, or correct the data root")


def build(dataset: str, job: Job, target: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Make a dataset, or what is still missing of it.

    Args:
        dataset: its key.
        job: what to make.
        target: the dataset's folder.
        progress: called with the number of items that are done, and of all.

    Returns:
        The target.

    Raises:
        DataError: the target exists, the partial folder belongs to something else or to another process, the disk is
            too small, or the source is damaged.
        StoreError: a file cannot be written.
    """
    check_free(target)
    partial = target.with_name(target.name + ".partial")
    with _claimed(partial):
        _begin(partial, new_record(dataset, job.source))
        todo = [item for item, files in job.items.items() if not all(_is_there(partial / file) for file in files)]
        _check_space(partial, len(todo) * job.item_bytes)
        done, total = len(job.items) - len(todo), len(job.items)
        for count, item in enumerate(todo, done + 1):
            _write(partial, job.make(item))
            if progress is not None:
                progress(count, total)
        _write(partial, job.finish(partial))
        if job.marker is not None:
            write_marker(partial, job.marker)
        check_free(target)
        try:
            partial.rename(target)
        except OSError as error:
            mend = f"All of it is made: rename {partial.name} yourself, or start again"
            raise DataError(f"cannot be renamed to ({error.strerror})", file=target, mend=mend) from None
    return target


@contextlib.contextmanager
def _claimed(partial: Path) -> Iterator[None]:
    """The partial folder, made if need be, for this process alone; the claim ends with the process."""
    try:
        partial.mkdir(exist_ok=True)
        if partial.is_symlink():
            raise DataError("is a link, which nothing is written through", file=partial, mend="Remove it")
        descriptor = os.open(partial, os.O_RDONLY)
    except OSError as error:
        mend = "Choose a data root that is a writable folder, or remove what is in the way"
        raise DataError(f"cannot be written to ({error.strerror})", file=partial, mend=mend) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            mend = "Wait for it, or end it"
            raise DataError("another process is preparing this dataset", file=partial, mend=mend) from None
        if not _leads_to(partial, descriptor):  # it was renamed between opening and locking
            mend = "Look whether the dataset is there by now; if it is not, start again"
            raise DataError("another process has just finished this dataset, or given it up", file=partial, mend=mend)
        yield
    finally:
        os.close(descriptor)


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _begin(partial: Path, record: Mapping[str, Any]) -> None:
    """A partial folder must be new, or come from the same source and versions."""
    for path in sorted(partial.rglob("*")):
        if path.is_symlink():
            raise DataError("is a link, which nothing is written through", file=path, mend=f"Delete {partial}")
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            path.unlink()  # of a file that was being written when the last attempt ended
    begun = read_record(partial)
    if begun is None and any(partial.iterdir()):
        mend = "Move it away: it was not begun by this command"
        raise DataError("is in the way", file=partial, mend=mend)
    if begun is None:
        write_json(partial / NAME, dict(record))
    elif begun != record:
        other = next(key for key in {**begun, **record} if begun.get(key) != record.get(key))
        raise DataError(
            f"{other} is not as it was when this was begun, so what is made does not belong to the rest",
            file=partial / NAME,
            field=other,
            mend=f"Delete {partial} to begin anew, or go on with what it was begun with",
        )


def _is_there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _check_space(folder: Path, needed: float) -> None:
    free, needed = shutil.disk_usage(folder).free, needed * SPARE
    if free < needed:
        problem = f"about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
        raise DataError(problem, file=folder, field="disk space", mend="Free some, or choose another data root")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        write_bytes(folder / path, content)
