"""Source files behind what a plugin brings: its own modules as far as imports reach, found without running them.

Of a file those are the file and the modules beside it; of a package all modules of the same top-level package; and the
same of the module that the class is defined in, where that is another one. Modules are known by names that do not say
where they lie: a plugin that was moved is the same program.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from mtlrepro import plugins
from mtlrepro.errors import SpecError

PACKAGE = "mtlrepro"
SUFFIXES = (".py", *EXTENSION_SUFFIXES)
INSTALLED = ("site-packages", "dist-packages")


class Home(NamedTuple):
    """Where a plugin's own modules are looked up.

    Attributes:
        folders: that hold them.
        top: the one top-level name that is looked up there; "" for any.
    """

    folders: tuple[Path, ...]
    top: str = ""

    def find(self, name: str) -> Path | None:
        """The file of a module by its dotted name, if it is one of the plugin's own."""
        if self.top not in ("", name.partition(".")[0]):
            return None
        for base in (folder.joinpath(*name.split(".")) for folder in self.folders):
            found = [base / "__init__.py", *(base.with_name(base.name + suffix) for suffix in SUFFIXES)]
            if file := next((f for f in found if f.is_file()), None):
                return file
        return None


def sources(target: str) -> tuple[dict[str, bytes], set[str]]:
    """Contents of a plugin's own modules by name, and what they import of `mtlrepro`, maybe names inside modules.

    Args:
        target: as `mtlrepro.plugins.load` takes it; what it names is loaded.

    Raises:
        SpecError: it cannot be loaded, its source cannot be read, or it imports a module that is not the one beside it.
    """
    place = target.rpartition(":")[0]
    defined = str(getattr(plugins.load(target), "__module__", ""))
    own: dict[str, bytes] = {}
    outside: set[str] = set()
    if place.endswith(".py"):
        file = Path(place)
        installed = file.parent.name in INSTALLED  # what lies beside it there is not its own
        _follow(file.stem, Home((file.parent,), file.stem if installed else ""), own, outside)
        if not defined.startswith(plugins.FILE_MODULE) and defined not in own:
            _follow_package(defined, own, outside)
    else:
        for name in dict.fromkeys((place, defined)):
            _follow_package(name, own, outside)
    return own, outside


def _follow_package(name: str, own: dict[str, bytes], outside: set[str]) -> None:
    """As `_follow`, from a module that can be imported; what is built into Python has no source."""
    top = name.partition(".")[0]
    if top == PACKAGE:
        outside.add(name)
        return
    spec = importlib.util.find_spec(top) if top else None
    inside = list(spec.submodule_search_locations or ()) if spec else []
    origin = [spec.origin] if spec and spec.origin and not inside else []
    home = Home(tuple(Path(folder).parent for folder in (*inside, *origin)), top)
    if home.find(name) is None:
        mend = "Install it as files: runs are made anew when their program changes"
        raise SpecError("its source cannot be read", file=name, mend=mend)
    _follow(name, home, own, outside)


def _follow(name: str, home: Home, own: dict[str, bytes], outside: set[str]) -> None:
    todo = [name]
    while todo:
        module = todo.pop()
        file = home.find(module)
        if file is None or module in own:
            continue
        if not home.top and module != name:
            _check_beside(module, file, home)
        own[module] = file.read_bytes()
        todo += [module.rpartition(".")[0]] if "." in module else []  # a package runs before what is in it
        if file.suffix == ".py":
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            try:
                found = set(imported(own[module], package))
            except (SyntaxError, ImportError) as error:
                raise SpecError(f"cannot be imported: {error}", file=file, mend="Correct the file") from error
            outside |= {each for each in found if each.split(".")[0] == PACKAGE}
            todo += [each for each in found if each.split(".")[0] != PACKAGE]


def imported(source: bytes | str, package: str) -> Iterator[str]:
    """Dotted names that a module imports, wherever in its file; of `from a import b` both `a` and `a.b`.

    Args:
        source: its text.
        package: what relative imports start from, "" for none.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _check_beside(module: str, file: Path, home: Home) -> None:
    """What is imported must be the file that is hashed: another module of that name may be there already."""
    top = module.partition(".")[0]
    found = importlib.util.find_spec(top)
    here = [str(folder / top) for folder in home.folders]
    places = [*(found.submodule_search_locations or ()), str(Path(found.origin or "").with_suffix(""))] if found else []
    if not set(map(str, map(Path.resolve, map(Path, places)))) & set(here):
        problem = f"a plugin beside it imports {top!r}, which is {found.origin if found else 'not found'} instead"
        raise SpecError(problem, file=file, mend="Give the module a name of its own, or make a package of the plugin")
