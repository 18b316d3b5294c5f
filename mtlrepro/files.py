"""Files that appear whole or not at all, who may write them, and the one error for a disk that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtlrepro.errors import StoreError

_fences: dict[Path, Callable[[], None]] = {}


@contextlib.contextmanager
def fenced(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """While inside, `check` is asked before anything in a folder is replaced; it raises to prevent that.

    A lock alone prevents nothing: its holder may have been stopped for so long that somebody else took over.
    """
    folder = folder.absolute()  # who writes may know it by another path
    _fences[folder] = check
    try:
        yield
    finally:
        del _fences[folder]


def check_fences(path: Path) -> None:
    """Ask whether a file may be replaced now; who writes one by other means than `write_bytes` asks just before.

    Raises:
        StoreError: by the fence of a folder that it lies in.
    """
    for folder in path.absolute().parents if _fences else ():
        if folder in _fences:
            _fences[folder]()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file (see `write_bytes`)."""
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file (see `replace_file`).

    Raises:
        StoreError: full or read-only disk, or the folder is somebody else's by now (see `fenced`).
    """
    check_fences(path)
    try:
        replace_file(path, content)
    except OSError as error:
        raise write_failure(path, error) from error


def replace_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file by temporary file and rename; whatever happens, nothing half-written stays.

    A link stays, and what it leads to is replaced. A device or a pipe is written into.

    Args:
        path: the file.
        content: what it holds then.
        durable: wait until it is on disk; off for what may be lost when the power fails.

    Raises:
        OSError: full or read-only disk.
    """
    if path.exists() and not path.is_file():  # asked of the path itself: /dev/stdout resolves to no path
        with path.open("wb") as stream:
            stream.write(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")  # unique over hosts and threads too
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_failure(path: Path, error: OSError) -> StoreError:
    """The error a user sees when the store cannot be written."""
    mend = "Free disk space" if error.errno == errno.ENOSPC else "Choose a writable folder"
    return StoreError(f"cannot write: {error.strerror or error}", file=path, mend=mend)


def read_json(path: Path, mend: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        mend: what the reader of an error can do about this file.

    Raises:
        StoreError: the file is missing, unreadable, not JSON or not an object.
    """
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror or error}", file=path, mend=mend) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"not valid JSON: {error}", file=path, mend=mend) from error
    if not isinstance(value, dict):
        raise StoreError(f"holds a {type(value).__name__}, not an object", file=path, mend=mend)
    return value
