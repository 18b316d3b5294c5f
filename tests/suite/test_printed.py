"""Printed strings: value, precision, sign and percent as the papers print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.errors import SpecError
from mtlrepro.suite.printed import parse


@pytest.mark.parametrize(
    ("text", "value", "half_unit", "percent"),
    [
        ("33.18", 33.18, 0.005, False),
        ("- 1.71", -1.71, 0.005, False),
        ("+ 0.00", 0.0, 0.005, False),
        ("−1.71", -1.71, 0.005, False),
        ("+57%", 57.0, 0.5, True),
        ("-50 %", -50.0, 0.5, True),
        ("8.0", 8.0, 0.05, False),
        ("0.667", 0.667, 0.0005, False),
        ("12", 12.0, 0.5, False),
    ],
)
def test_worked_examples(text: str, value: float, half_unit: float, percent: bool) -> None:
    cell = parse(text)
    assert cell is not None
    assert cell.value == pytest.approx(value)
    assert cell.half_unit == pytest.approx(half_unit)
    assert cell.percent is percent
    assert cell.text == text


@given(st.integers(-(10**6), 10**6), st.integers(0, 4), st.booleans(), st.sampled_from(["", " "]))
def test_what_is_printed_is_read_back(units: int, decimals: int, percent: bool, gap: str) -> None:
    number = units / 10**decimals
    sign = "-" if number < 0 else "+"
    cell = parse(f"{sign}{gap}{abs(number):.{decimals}f}{'%' if percent else ''}")
    assert cell is not None
    assert cell.value == pytest.approx(number)
    assert cell.half_unit == pytest.approx(0.5 * 10**-decimals)
    # every number that would print like this one lies within half a unit of it
    assert abs(round(cell.value + 0.99 * cell.half_unit, decimals) - number) <= 2 * cell.half_unit * (1 + 1e-9)


@pytest.mark.parametrize("text", ["-", " - ", "−", "–"])
def test_a_dash_is_no_value(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text", ["", "abc", "1,234", "1.2.3", "--1", "12 34", "33.18 ± 0.2", "1e3", "nan", "%", ".5", "5."]
)
def test_anything_else_is_told_with_file_field_and_mend(text: str) -> None:
    with pytest.raises(SpecError, match="not a number") as caught:
        parse(text, file="table.toml", field="rows[0].seg")
    assert (caught.value.file, caught.value.field) == ("table.toml", "rows[0].seg")
    assert caught.value.mend


@given(st.text(max_size=12))
def test_no_string_breaks_it(text: str) -> None:
    try:
        cell = parse(text)
    except SpecError:
        return
    assert cell is None or cell.half_unit > 0


def test_an_unquoted_number_is_refused_because_its_precision_is_lost() -> None:
    with pytest.raises(SpecError, match=r"33\.1 is not a string") as caught:
        parse(33.10, file="table.toml", field="seg")  # type: ignore[arg-type]
    assert "Quote" in caught.value.mend
