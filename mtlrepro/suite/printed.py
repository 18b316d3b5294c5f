"""Printed strings of a table cell: "- 1.71", "+57%", "33.18", "-"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtlrepro.errors import SpecError

_NUMBER = re.compile(r"^([+-]?)\s*(\d+(?:\.(\d+))?)\s*(%?)$")


@dataclass(frozen=True)
class Printed:
    """A printed number: its value, the half unit of its last digit, and whether a percent sign follows.

    Example:
        >>> parse("- 1.71")
        Printed(text='- 1.71', value=-1.71, half_unit=0.005, percent=False)
        >>> parse("+57%").percent
        True
    """

    text: str
    value: float
    half_unit: float
    percent: bool


def parse(text: str, *, file: str | None = None, field: str | None = None) -> Printed | None:
    """Read a printed string; None for a dash, which is how the papers print "no value".

    Raises:
        SpecError: if it is not a string, or the string is not a number.
    """
    if not isinstance(text, str):  # TOML reads an unquoted 33.10 as 33.1, and the printed precision would be lost
        raise SpecError(f"{text!r} is not a string", file=file, field=field, mend="Quote the cell as it is printed")
    plain = text.strip().replace("−", "-").replace("–", "-")
    if plain == "-":
        return None
    match = _NUMBER.match(plain)
    if match is None:
        raise SpecError(
            f"printed string {text!r} is not a number", file=file, field=field, mend="Use the digits as printed, or '-'"
        )
    sign, digits, decimals, percent = match.groups()
    value = float(digits) * (-1 if sign == "-" else 1)
    return Printed(text, value, 0.5 * 10.0 ** -len(decimals or ""), bool(percent))
