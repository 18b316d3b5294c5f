"""What a reader once found out about files and need not find out again, kept as JSON in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mtlrepro.errors import StoreError
from mtlrepro.files import read_json, write_bytes

SCHEMA = 1


class Remembered:
    """JSON values by key, each good for as long as its files keep size and modification time.

    When what makes them changes, all are made anew.

    A cache that cannot be read or written costs time, nothing else.

    Args:
        cache: folder; None remembers nothing.
        what: what the values are; each purpose has a file of its own.
        root: the dataset's folder.
        rules: what else decides about the values, as JSON values: thresholds, options.
        code: source files of what makes the values.
    """

    def __init__(self, cache: Path | None, what: str, root: Path, rules: Mapping[str, Any], code: Iterable[str]):
        self._makers = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
        for source in code:
            self._makers.update(hashlib.sha256(Path(source).read_bytes()).digest())
        place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        self._file = None if cache is None else cache / f"{what}-{place}.json"
        self._root = root
        self._known: dict[str, Any] = {}
        self._new = False
        with contextlib.suppress(StoreError):
            stored = read_json(self._file, "") if self._file else {}
            known = stored.get("known")
            self._known = known if stored.get("schema") == SCHEMA and isinstance(known, dict) else {}

    def get(self, key: str, files: Iterable[str], make: Callable[[], Any]) -> Any:
        """The value of a key.

        Args:
            key: any text.
            files: what the value depends on, relative to the root.
            make: makes the value anew; what it raises is raised.
        """
        stamp = self._stamp(files)
        entry = self._known.get(key)
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] == stamp):
            entry = self._known[key] = [stamp, make()]
            self._new = True
        return entry[1]

    def save(self) -> None:
        """Write what is new."""
        if self._file is not None and self._new:
            with contextlib.suppress(StoreError):
                write_bytes(self._file, json.dumps({"schema": SCHEMA, "known": self._known}).encode())

    def _stamp(self, files: Iterable[str]) -> str:
        total = self._makers.copy()
        for name in files:
            with contextlib.suppress(OSError):  # a missing file is `make`'s to report
                status = (self._root / name).stat()
                total.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
        return total.hexdigest()
