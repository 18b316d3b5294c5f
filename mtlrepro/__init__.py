"""Reproducible multi-task learning for dense prediction."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtlrepro.expected.frame import load_expected
    from mtlrepro.report.jsonfile import load_results

__version__ = "0.1.0"
__all__ = ["__version__", "load_expected", "load_results"]

_HOMES = {"load_expected": "mtlrepro.expected.frame", "load_results": "mtlrepro.report.jsonfile"}


def __getattr__(name: str) -> Any:
    # pandas takes a third of a second to import: only who asks for a frame pays for it
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
