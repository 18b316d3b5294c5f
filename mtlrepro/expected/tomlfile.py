"""TOML files to dataclasses; what is unknown, missing or of another type is an error with file, field and mend."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from mtlrepro.errors import SpecError, unknown
from mtlrepro.spec import fits, type_name


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file (SpecError if it is missing, unreadable or invalid)."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        mend = "Restore it from version control"
        raise SpecError("no such file", file=path, mend=mend) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", file=path, mend="Make it a readable file") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"not valid TOML: {error}", file=path, mend="Correct the file") from None


def check_known(kind: str, names: Iterable[str], known: Iterable[str], path: Path, where: str | None) -> None:
    """Raise a `SpecError` for the first name that is not known, with the nearest ones that are."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown(kind, name, known, file=path, field=where)


def take_tables(raw: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    """Take the array of tables of that key out of a file's content."""
    value = raw.pop(key, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise SpecError("not an array of tables", file=path, field=key, mend=f"Write each as [[{key}]]")
    return value


def take_all(cls: Any, raw: dict[str, Any], key: str, path: Path) -> list[Any]:
    """Take the array of tables of that key out of a file's content and build each (see `build`)."""
    return [build(cls, entry, path, f"{key}[{i}]") for i, entry in enumerate(take_tables(raw, key, path))]


def build(cls: Any, entry: dict[str, Any], path: Path, where: str) -> Any:
    """An instance of a dataclass from a table; lists become tuples (SpecError if it does not fit, naming `where`)."""
    known, hints = {f.name: f for f in fields(cls)}, get_type_hints(cls)
    check_known("key", entry, known, path, where)
    missing = [n for n, f in known.items() if n not in entry and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise SpecError(f"missing key {missing[0]!r}", file=path, field=where, mend="Add it")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    for key, value in values.items():
        if not fits(value, hints[key]):
            mend = f"Give a value of type {type_name(hints[key])}"
            raise SpecError(f"unexpected value {value!r}", file=path, field=f"{where}.{key}", mend=mend)
    return cls(**values)
