"""Names to lazily imported objects: a reader sees what exists, an import costs only what is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtlrepro import plugins
from mtlrepro.errors import SpecError, unknown


class Registry(Mapping[str, Any]):
    """A read-only mapping of public names to `"module:attribute"` targets, imported on first use.

    As a mapping it holds the built-in names. Where plugins can bring more (`mtlrepro.plugins`), their names and names
    with a colon, which are targets themselves, can be asked for as well. Built-in names never depend on plugins.

    Args:
        kind: what the names are, for error messages ("model", "dataset" ...).
        targets: name -> `"package.module:attribute"`.
        group: what plugins bring of it, one of `mtlrepro.plugins.GROUPS`; "" for nothing.
        base: target of the class that what plugins bring must be derived from.

    Raises:
        SpecError: on access to an unknown name, with the nearest known ones, and to a plugin's that is wrong.
    """

    def __init__(self, kind: str, targets: dict[str, str], group: str = "", base: str = "builtins:object"):
        self.kind, self._targets = kind, dict(targets)
        self._group, self._base = group, base

    def __getitem__(self, name: str) -> Any:
        target = self.target(name)
        if name not in self._targets:
            return self._own(name, target)
        module, attribute = target.split(":")
        return getattr(importlib.import_module(module), attribute)

    def target(self, name: str) -> str:
        """The `"module:attribute"` behind a name, without importing it."""
        if name in self._targets:
            return self._targets[name]
        if self._group and ":" in name:
            return plugins.absolute(name)
        own = self.plugged()
        if self._group and name.endswith(".py"):
            problem, mend = f"names a file, but no {self.kind} in it", f"Give {name}:CLASS"
            raise SpecError(problem, file=name, mend=mend)
        if name not in own:
            raise unknown(self.kind, name, [*self._targets, *own])
        return own[name].target

    def plugged(self) -> dict[str, plugins.Entry]:
        """Names that plugins bring, and where they are from.

        Raises:
            SpecError: see `mtlrepro.plugins.offered`; or a plugin brings a built-in name.
        """
        found = plugins.offered(self._group) if self._group else {}
        for name, entry in found.items():
            if name in self._targets:
                problem, mend = f"hides the built-in {self.kind} {name!r}", "Give it a name of its own"
                raise SpecError(problem, file=entry.file, field=entry.field, mend=mend)
        return found

    def _own(self, name: str, target: str) -> Any:
        value, (module, attribute) = plugins.load(target), self._base.split(":")
        base = getattr(importlib.import_module(module), attribute)
        if isinstance(value, type) and issubclass(value, base):
            return value
        what = "" if base is object else f" derived from {module}.{attribute}"
        place, _, field = target.rpartition(":")
        mend = f"An {self.kind} is a class{what}" if self.kind[0] in "aeiou" else f"A {self.kind} is a class{what}"
        said = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
        raise SpecError(f"{name!r} is {said}, not a class{what}", file=place, field=field, mend=mend)

    def __contains__(self, name: object) -> bool:
        return name in self._targets  # the mixin's would import, and raise for what is not there

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)


def option_names(entry: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the options of what a registry holds: the keyword-only parameters of its constructor."""
    parameters = inspect.signature(entry).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
