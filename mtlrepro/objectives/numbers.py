"""Checks of what an objective or a weighting takes as options."""

from __future__ import annotations

import math
from typing import Any

from mtlrepro.errors import SpecError

OBJECTIVE = "objective.options"
WEIGHTING = "objective.weighting.options"
"""Where options stand in a spec."""


def check_finite(where: str = OBJECTIVE, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are finite numbers."""
    for name, value in options.items():
        check(name, value, _finite(value), "a finite number", where)


def check_numbers(where: str = OBJECTIVE, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are finite numbers >= 0."""
    for name, value in options.items():
        check(name, value, _finite(value) and value >= 0, "a finite number >= 0", where)


def check_positive(where: str = OBJECTIVE, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are finite numbers > 0."""
    for name, value in options.items():
        check(name, value, _finite(value) and value > 0, "a finite number > 0", where)


def check_whole(where: str = OBJECTIVE, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are whole numbers >= 1."""
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        check(name, value, whole and value >= 1, "a whole number >= 1", where)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check(name: str, value: Any, good: bool, wanted: str, where: str = OBJECTIVE) -> None:
    """Raise a `SpecError` that says what is wanted of an option, unless its value is good."""
    if not good:
        raise SpecError(f"unexpected value {value!r}", field=f"{where}.{name}", mend=f"Use {wanted}")
