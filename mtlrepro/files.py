"""Files that appear whole or not at all, and the one error for a disk that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from pathlib import Path
from typing import Any

from mtlrepro.errors import StoreError


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file (see `write_bytes`)."""
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file (see `replace_file`).

    Raises:
        StoreError: full or read-only disk.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise write_failure(path, error) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file by temporary file and rename; whatever happens, nothing half-written stays.

    A link stays, and what it leads to is replaced. A device or a pipe is written into.

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
