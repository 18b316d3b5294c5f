"""Names to lazily imported objects: a reader sees what exists, an import costs only what is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtlrepro.errors import unknown


class Registry(Mapping[str, Any]):
    """A read-only mapping of public names to `"module:attribute"` targets, imported on first use.

    Args:
        kind: what the names are, for error messages ("model", "dataset" ...).
        targets: name -> `"package.module:attribute"`.

    Raises:
        SpecError: on access to an unknown name, with the nearest known ones.
    """

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind, self._targets = kind, dict(targets)

    def __getitem__(self, name: str) -> Any:
        module, attribute = self.target(name).split(":")
        return getattr(importlib.import_module(module), attribute)

    def target(self, name: str) -> str:
        """The `"module:attribute"` behind a name, without importing it."""
        if name not in self._targets:
            raise unknown(self.kind, name, self._targets)
        return self._targets[name]

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
