"""Methods and datasets from outside this package: files, installed packages, and names that are their own target.

A name with a colon says where it is: `my_pkg.nets:MyNet` (importable) or `path/to/my_method.py:MyNet` (a file). Plain
names come from dictionaries of files (`--plugin FILE`, environment variable `MTLREPRO_PLUGINS`) and from entry points
of installed packages. Nothing is imported before a name is asked for or, of files, listed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mtlrepro.errors import SpecError, unknown

PLUGINS_ENV = "MTLREPRO_PLUGINS"
"""Environment variable that names plugin files, separated as in PATH; processes that are started inherit it."""

GROUPS = ("models", "objectives", "weightings", "datasets")
"""What a plugin can bring: entry points of group `mtlrepro.<group>`, or a dictionary of that name in capitals."""

FILE_MODULE = "mtlrepro_plugin_"
"""What the names of modules made of plugin files begin with."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CORRECT = "Correct the file"


@dataclass(frozen=True)
class Entry:
    """A name that a plugin brings.

    Attributes:
        target: "package.module:attribute" or "/folder/file.py:DICTIONARY.name".
        file: the plugin's file, or the name and version of its distribution.
        field: where it is named in there.
    """

    target: str
    file: str
    field: str


def use(files: Iterable[Path | str]) -> None:
    """Take further plugin files into use, here and in every process that is started from here.

    Raises:
        SpecError: a file of these, or named by the environment, is missing, cannot be imported or defines nothing.
    """
    known = dict.fromkeys([*_files(), *(Path(f).expanduser().resolve() for f in files)])
    for file in known:
        if os.pathsep in str(file):
            mend = "Move it to a folder whose name has none"
            raise SpecError(f"{os.pathsep!r} in the path of a plugin", file=file, mend=mend)
        if not any([_dictionary(file, group) for group in GROUPS]):  # a list: each of them is looked at
            mend = f'Define one or more of them, such as MODELS = {{"my_net": MyNet}}, or name {file.name}:MyNet itself'
            raise SpecError(f"defines none of {', '.join(map(str.upper, GROUPS))}", file=file, mend=mend)
    if known:
        os.environ[PLUGINS_ENV] = os.pathsep.join(map(str, known))


def offered(group: str) -> dict[str, Entry]:
    """Names of one of `GROUPS` that plugins bring; plugin files are imported for it, packages are not.

    Raises:
        SpecError: a file that cannot be imported, a dictionary that is none, a name that two plugins bring.
    """
    found: dict[str, Entry] = {}
    for name, entry in (*_of_files(group), *_of_packages(group)):
        if name in found and found[name].target != entry.target:
            problem, mend = f"is brought by {found[name].file}, too", "Rename it in one of them, or leave one out"
            raise SpecError(problem, file=entry.file, field=entry.field, mend=mend)
        found[name] = entry
    return found


def absolute(target: str) -> str:
    """A target as it means the same in every working folder."""
    place, _, attribute = target.rpartition(":")
    return f"{Path(place).expanduser().resolve()}:{attribute}" if place.endswith(".py") else target


def load(target: str) -> Any:
    """What a target names: an attribute of a module or of a file, or an item of a dictionary in it.

    Raises:
        SpecError: no such module, file or attribute, or an import that fails.
    """
    place, _, attribute = target.rpartition(":")
    if not place or not all(part.replace("-", "_").isidentifier() for part in attribute.split(".")):
        mend = "Give MODULE:NAME or FILE.py:NAME"
        raise SpecError(f"{target!r} names no class", file=place or None, field=attribute or None, mend=mend)
    module = file_module(Path(place)) if place.endswith(".py") else _package_module(place)
    value: Any = module
    for part in attribute.split("."):
        inside = value if isinstance(value, Mapping) else vars(value)
        if part not in inside and not hasattr(value, part):
            classes = [name for name, one in inside.items() if callable(one) and not name.startswith("_")]
            raise unknown("name", part, classes, file=place)
        value = inside[part] if part in inside else getattr(value, part)
    return value


def file_module(file: Path) -> ModuleType:
    """The module of a plugin file, imported once; modules beside it can be imported from it.

    Raises:
        SpecError: no such file, or its import fails.
    """
    file = file.expanduser().resolve()
    name = f"{FILE_MODULE}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_file() or file.suffix != ".py":
        raise SpecError("no such Python file", file=file, mend="Name a plugin by the path of its .py file")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # behind everything: it must not hide what is installed
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever it does wrong, its author wants one line that names it
        del sys.modules[name]
        raise SpecError(_told(error), file=_line(error, file), mend=_CORRECT) from error
    return module


def _package_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        mend = "Give MODULE:NAME, such as my_pkg.nets:MyNet, or FILE.py:NAME"
        raise SpecError(f"{name!r} is neither a module nor a .py file", mend=mend)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(error.name or " ")
        mend = "Install it, set PYTHONPATH to its folder, or name a file as FILE.py:NAME" if missing else "Correct it"
        raise SpecError(_told(error), file=name, mend=mend) from error


def _told(error: BaseException) -> str:
    return f"cannot be imported: {type(error).__name__}: {error}"


def _line(error: BaseException, file: Path) -> str:
    """The file, with the line that the error is in where that can be told."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    number = frames[-1].lineno if frames else getattr(error, "lineno", None)
    return f"{file}:{number}" if number else str(file)


def _files() -> list[Path]:
    return [Path(text).expanduser().resolve() for text in os.environ.get(PLUGINS_ENV, "").split(os.pathsep) if text]


def _dictionary(file: Path, group: str) -> Mapping[str, Any] | None:
    """What a plugin file brings of a group; None if it does not define the dictionary."""
    field = group.upper()
    found = getattr(file_module(file), field, None)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        problem, mend = f"is a {type(found).__name__}, not a dictionary", f'Write {field} = {{"my_name": MyClass}}'
        raise SpecError(problem, file=file, field=field, mend=mend)
    for name in found:
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            mend = "Name it with letters, digits, _ and -"
            raise SpecError(f"{name!r} cannot be a name", file=file, field=field, mend=mend)
    return found


def _of_files(group: str) -> Iterator[tuple[str, Entry]]:
    field = group.upper()
    for file in _files():
        for name in _dictionary(file, group) or ():
            yield name, Entry(f"{file}:{field}.{name}", str(file), f"{field}[{name!r}]")


def _of_packages(group: str) -> Iterator[tuple[str, Entry]]:
    yield from _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[tuple[str, Entry], ...]:
    """Entry points of a group as found on a search path, which is what they depend on."""
    points = importlib.metadata.entry_points(group=f"mtlrepro.{group}")
    found = []
    for point in points:
        where = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
        field = f"entry point {point.name!r} of mtlrepro.{group}"
        if not _NAME.fullmatch(point.name):
            mend = "Name it with letters, digits, _ and -"
            raise SpecError(f"{point.name!r} cannot be a name", file=where, field=field, mend=mend)
        found.append((point.name, Entry(f"{point.module}:{point.attr or ''}", where, field)))
    return tuple(found)
