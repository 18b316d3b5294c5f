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
        check(name, value, finite(value), "a finite number", where)


def check_numbers(where: str = OBJECTIVE, most: float = math.inf, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are finite numbers >= 0 and at most `most`."""
    wanted = "a finite number >= 0" if most == math.inf else f"a number from 0 to {most}"
    for name, value in options.items():
        check(name, value, finite(value) and 0 <= value <= most, wanted, where)


def check_positive(where: str = OBJECTIVE, most: float = math.inf, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are finite numbers > 0 and at most `most`."""
    wanted = "a finite number > 0" if most == math.inf else f"a number above 0, at most {most}"
    for name, value in options.items():
        check(name, value, finite(value) and 0 < value <= most, wanted, where)


def check_whole(where: str = OBJECTIVE, most: float = math.inf, /, **options: Any) -> None:
    """Raise a `SpecError` unless these options are whole numbers >= 1 and at most `most`."""
    wanted = "a whole number >= 1" if most == math.inf else f"a whole number from 1 to {most}"
    for name, value in options.items():
        check(name, value, isinstance(value, int) and finite(value) and 1 <= value <= most, wanted, where)


def finite(value: Any) -> bool:
    """Whether it is a finite number that PyTorch takes: a whole one of at most 64 bits."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def check(name: str, value: Any, good: bool, wanted: str, where: str = OBJECTIVE) -> None:
    """Raise a `SpecError` that says what is wanted of an option, unless its value is good."""
    if not good:
        raise SpecError(f"unexpected value {value!r}", field=f"{where}.{name}", mend=f"Use {wanted}")
