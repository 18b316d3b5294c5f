"""SHA-256 of a dataset's files, each read once and remembered by path, size and modification time.

Whoever trains on a dataset takes its digest first: so files that are empty or cut short are found before any training.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mtlrepro.data.disk.arrays import check_regular
from mtlrepro.data.disk.intact import check_intact
from mtlrepro.data.disk.paths import denied
from mtlrepro.errors import DataError

SCHEMA = 2

CONTENTS_UP_TO = 100_000
"""Of a split of more files only names and sizes count: Taskonomy has two million, which take hours to read."""


def digest_files(root: Path, files: Sequence[str], extra: str = "", cache: Path | None = None) -> str:
    """Hex digest over relative paths and contents, in the order given, and over `extra`.

    Files are looked at for damage when they are read; of more than `CONTENTS_UP_TO` files only the sizes are read.

    Args:
        root: folder the paths are relative to.
        files: relative paths.
        extra: further text that the digest depends on.
        cache: folder for the remembered hashes; None remembers nothing. A cache that cannot be read or written
            costs time, nothing else. A file changed in place within one tick of the file system's clock, at the
            same size, goes unnoticed.

    Raises:
        DataError: a file cannot be read, is no regular file, is empty or cut short.
    """
    root = root.resolve()
    store = None if cache is None else Path(cache) / f"files-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    known = _load(store)
    total, fresh = hashlib.sha256(extra.encode()), {}
    in_full = len(files) <= CONTENTS_UP_TO
    try:
        for name in files:
            file = root / name
            try:
                stat = check_regular(file)
                if not in_full and stat.st_size:
                    total.update(f"\0{name}\0{stat.st_size} bytes".encode())
                    continue
                entry = known.get(name)
                if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
                    check_intact(file)
                    with file.open("rb") as stream:
                        entry = [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(stream, "sha256").hexdigest()]
                    fresh[name] = entry
            except PermissionError:
                raise denied(file) from None
            except OSError as error:
                mend = "Restore it, or take its id out of the split"
                raise DataError(f"cannot be read ({error.strerror})", file=file, mend=mend) from None
            total.update(f"\0{name}\0{entry[2]}".encode())
    finally:  # whoever mends one file does not wait again for all the others
        if store is not None and fresh:
            _save(store, {**_load(store), **fresh})
    return total.hexdigest()


def _load(store: Path | None) -> dict[str, list]:
    try:
        value = json.loads(store.read_text()) if store else {}
        files = value["files"] if value.get("schema") == SCHEMA else {}
        return {name: entry for name, entry in files.items() if isinstance(entry, list) and len(entry) == 3}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


def _save(store: Path, files: dict[str, list]) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=store.parent, prefix=store.name, suffix=".tmp")
    except OSError:  # a read-only cache folder
        return
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump({"schema": SCHEMA, "files": files}, stream)
        os.replace(temporary, store)
    except OSError:  # a full disk
        Path(temporary).unlink(missing_ok=True)
