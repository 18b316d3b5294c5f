"""How loops are compiled: without the interpreter lock, and kept on disk where that can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on the first call.

    The machine code is kept beside the module or in the user's cache; in an installation where neither can be written
    every process compiles anew. A kept caller is not compiled again when a function of *another* file that it calls
    has changed, so compiled functions call only those of their own file.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no place for the cache
        return njit(nogil=True)(function)
