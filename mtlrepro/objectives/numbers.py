"""Checks of what an objective takes as options."""

from __future__ import annotations

import math
from typing import Any

from mtlrepro.errors import SpecError


def check_finite(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers."""
    for name, value in options.items():
        check(name, value, _finite(value), "a finite number")


def check_numbers(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers >= 0."""
    for name, value in options.items():
        check(name, value, _finite(value) and value >= 0, "a finite number >= 0")


def check_positive(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are finite numbers > 0."""
    for name, value in options.items():
        check(name, value, _finite(value) and value > 0, "a finite number > 0")


def check_whole(**options: Any) -> None:
    """Raise a `SpecError` unless these options of an objective are whole numbers >= 1."""
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        check(name, value, whole and value >= 1, "a whole number >= 1")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check(name: str, value: Any, good: bool, wanted: str) -> None:
    """Raise a `SpecError` that says what is wanted of an option of an objective, unless its value is good."""
    if not good:
        raise SpecError(f"unexpected value {value!r}", field=f"objective.options.{name}", mend=f"Use {wanted}")
