"""The folder that a synthetic copy is written to before it takes its name: locked while its owner lives, then swept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def draft(root: Path) -> Iterator[Path]:
    """A new folder beside `root` for this process alone; what is left of it at the end is removed.

    Folders that killed processes left behind are removed first. The lock ends with the process, however that ends.

    Raises:
        OSError: no folder can be made there.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    descriptor = None
    while descriptor is None:
        folder = root.parent / f".{root.name}-{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            descriptor = _lock(folder)  # None: a sweep came between making and locking
        except OSError:  # a file system without locks, where nobody sweeps either
            descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # also after Ctrl-C: nothing half-written stays
        os.close(descriptor)


def _sweep(root: Path) -> None:
    """Remove the folders of `draft` whose owner does not live any more."""
    ours = re.compile(rf"\.{re.escape(root.name)}-[0-9a-f]{{8}}")
    for folder in sorted(root.parent.iterdir()):
        if ours.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            try:
                descriptor = _lock(folder)
            except OSError:
                continue
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None if another process holds it, or has removed the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(folder.lstat(), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):  # held, or gone
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
