"""Checks of the numbers that an objective takes as options."""

from __future__ import annotations

import math
from typing import Any

from mtlrepro.errors import SpecError


def check_finite(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers."""
    for name, value in options.items():
        _check(name, value, _finite(value), "")


def check_numbers(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers >= 0."""
    for name, value in options.items():
        _check(name, value, _finite(value) and value >= 0, " >= 0")


def check_positive(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers > 0."""
    for name, value in options.items():
        _check(name, value, _finite(value) and value > 0, " > 0")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(name: str, value: Any, good: bool, bound: str) -> None:
    if not good:
        where, mend = f"objective.options.{name}", f"Use a finite number{bound}"
        raise SpecError(f"unexpected value {value!r}", field=where, mend=mend)
