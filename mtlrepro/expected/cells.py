"""Printed strings of a table cell: "- 1.71", "+57%", "67.43 ± 0.15", "8h 20m", "17.5GiB", "-"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtlrepro.errors import SpecError

NO_VALUE = ("-", "↓", "*", "?")
"""Nothing; the row that others refer to; not given by the authors; lost in the available text."""

LONGEST = 40
"""Characters of the longest cell: nobody prints more."""

IDEM = "idem"
"""Repeats the cell of the set that the table's `idem` names."""

_NUMBER = re.compile(r"([+-]?)\s*(\d+(?:\.(\d+))?)\s*(%|GiB)?(?:\s*±\s*(\d+(?:\.(\d+))?))?", re.ASCII)
_TIME = re.compile(r"(\d+)h ([0-5]\d)m", re.ASCII)
DASHES = str.maketrans("−–", "--")
"""To a plain minus from the signs that papers print."""


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes:
        text: as printed.
        value: the number; hours for times.
        half_unit: half a unit of the last printed digit: the largest error that rounding makes.
        percent: a percent sign follows.
        sd: printed standard deviation, None without one.
        reasoned: lost in the available text and reasoned out from other places.
        kind: "time" or "GiB" for such cells, else empty.

    Example:
        >>> parse("- 1.71")
        Printed(text='- 1.71', value=-1.71, half_unit=0.005, percent=False, sd=None, reasoned=False, kind='')
        >>> parse("67.43 ± 0.15").sd, parse("8h 30m").value, parse("+57%").percent
        (0.15, 8.5, True)
    """

    text: str
    value: float
    half_unit: float
    percent: bool = False
    sd: float | None = None
    reasoned: bool = False
    kind: str = ""


def parse(text: str, *, file: str | None = None, field: str | None = None) -> Printed | None:
    """Read a printed string; None for one without a value of its own (`NO_VALUE`, `IDEM`).

    Raises:
        SpecError: if it is not a string, or the string is not a number.
    """
    if not isinstance(text, str):  # TOML reads an unquoted 33.10 as 33.1, and the printed precision would be lost
        raise SpecError(f"{text!r} is not a string", file=file, field=field, mend="Quote the cell as it is printed")
    plain = text.translate(DASHES).strip()
    if plain in (*NO_VALUE, IDEM):
        return None
    reasoned = plain.startswith("? ")
    plain = plain.removeprefix("? ")
    short = plain if len(plain) <= LONGEST else ""
    if time := _TIME.fullmatch(short):
        return Printed(text, int(time[1]) + int(time[2]) / 60, 0.5 / 60, reasoned=reasoned, kind="time")
    match = _NUMBER.fullmatch(short)
    if match is None:
        mend = "Use the digits as printed, or one of '-', '↓', '*', '?', 'idem'"
        raise SpecError(f"printed string {text!r} is not a number", file=file, field=field, mend=mend)
    sign, digits, decimals, unit, sd, _ = match.groups()
    value = float(digits) * (-1 if sign == "-" else 1)
    half_unit = 0.5 * 10.0 ** -len(decimals or "")
    kind = "GiB" if unit == "GiB" else ""
    return Printed(text, value, half_unit, unit == "%", float(sd) if sd else None, reasoned, kind)
