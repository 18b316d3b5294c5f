"""Printed strings: value, precision, sign, percent and deviation as the papers print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.errors import SpecError
from mtlrepro.expected.cells import IDEM, NO_VALUE, parse

MINUS = ["-", "−", "–"]
"""Hyphen, minus sign, en dash."""


@pytest.mark.parametrize(
    ("text", "value", "half_unit", "percent", "sd"),
    [
        ("33.18", 33.18, 0.005, False, None),
        ("- 1.71", -1.71, 0.005, False, None),
        ("+ 0.00", 0.0, 0.005, False, None),
        ("−1.71", -1.71, 0.005, False, None),
        ("–4.100", -4.1, 0.0005, False, None),
        ("+57%", 57.0, 0.5, True, None),
        ("-50 %", -50.0, 0.5, True, None),
        ("8.0", 8.0, 0.05, False, None),
        ("0.667", 0.667, 0.0005, False, None),
        ("12", 12.0, 0.5, False, None),
        ("67.43 ± 0.15", 67.43, 0.005, False, 0.15),
        ("79.93 ±0.5", 79.93, 0.005, False, 0.5),
        ("+03.76±0.77", 3.76, 0.005, False, 0.77),
        ("-30.49 ± 2", -30.49, 0.005, False, 2.0),
        ("17.5GiB", 17.5, 0.05, False, None),
        ("4 GiB", 4.0, 0.5, False, None),
        ("8h 20m", 8 + 20 / 60, 1 / 120, False, None),
        ("223h 10m", 223 + 10 / 60, 1 / 120, False, None),
    ],
)
def test_worked_examples(text: str, value: float, half_unit: float, percent: bool, sd: float | None) -> None:
    cell = parse(text)
    assert cell is not None
    assert cell.value == pytest.approx(value)
    assert cell.half_unit == pytest.approx(half_unit)
    assert (cell.percent, cell.sd, cell.text, cell.reasoned) == (percent, sd, text, False)


@given(
    st.integers(-(10**6), 10**6),
    st.integers(0, 4),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "%", " %", "GiB"]),
    st.none() | st.integers(0, 10**4),
    st.sampled_from(MINUS),
)
def test_what_is_printed_is_read_back(
    units: int, decimals: int, gap: str, unit: str, deviation: int | None, minus: str
) -> None:
    number, sd = units / 10**decimals, None if deviation is None else deviation / 10**decimals
    text = f"{minus if number < 0 else '+'}{gap}{abs(number):.{decimals}f}{unit}"
    if sd is not None:
        text += f" ± {sd:.{decimals}f}"
    cell = parse(text)
    assert cell is not None
    assert cell.value == pytest.approx(number)
    assert cell.half_unit == pytest.approx(0.5 * 10**-decimals)
    assert cell.percent is unit.endswith("%")
    assert cell.sd == (None if sd is None else pytest.approx(sd))
    assert cell.text == text
    # printing the value again gives the same digits
    assert f"{abs(cell.value):.{decimals}f}" == f"{abs(number):.{decimals}f}"


@given(st.integers(0, 999), st.integers(0, 59))
def test_times_are_hours(hours: int, minutes: int) -> None:
    cell = parse(f"{hours}h {minutes:02d}m")
    assert cell is not None
    assert round(cell.value * 60) == 60 * hours + minutes
    assert (cell.half_unit, cell.percent, cell.sd) == (pytest.approx(1 / 120), False, None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("8h 20m", "time"), ("? 8h 20m", "time"), ("17.5GiB", "GiB"), ("4 GiB", "GiB"), ("8.0", ""), ("+57%", "")],
)
def test_times_and_memory_say_so(text: str, kind: str) -> None:
    cell = parse(text)
    assert cell is not None
    assert cell.kind == kind


def test_forty_characters_are_read() -> None:
    cell = parse(f"33.{'1' * 37}")
    assert cell is not None
    assert cell.value == pytest.approx(33.1111)


@pytest.mark.parametrize("text", ["14.44 ± 0.52", "+27.25", "8h 20m", "−1.7", "+57%"])
def test_a_question_mark_before_a_value_says_that_it_was_reasoned_out(text: str) -> None:
    plain, reasoned = parse(text), parse(f"? {text}")
    assert plain is not None
    assert reasoned is not None
    assert (plain.reasoned, reasoned.reasoned, reasoned.text) == (False, True, f"? {text}")
    numbers = [(c.value, c.half_unit, c.percent, c.sd) for c in (plain, reasoned)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("text", [*NO_VALUE, IDEM, *MINUS, " - ", " ↓", "? "])
def test_what_stands_for_no_value_has_none(text: str) -> None:
    assert parse(text) is None


BAD = [
    *(
        "",
        "abc",
        "1,234",
        "1.2.3",
        "--1",
        "12 34",
        "1e3",
        "nan",
        "%",
        ".5",
        "5.",
        "↑",
        "Idem",
        "??",
        "?1",
        "? idem",
        "? -",
    ),
    *(
        "33.18 ±",
        "33.18 ± -0.2",
        "33.18 ± 0.2 ± 0.1",
        "33.18 +- 0.2",
        "8h",
        "8h 5m",
        "8h 75m",
        "٣",
        "8h20m",
        "-8h 20m",
        "5%%",
        "3 MiB",
        "4" * 41,
        "4" * 400,
        f"33.{'1' * 38}",
        f"33.18 ±{' ' * 33}0.2",
        f"{'9' * 38}h 20m",
        f"{'9' * 400}h 20m",
    ),
]


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_told_with_file_field_and_mend(text: str) -> None:
    with pytest.raises(SpecError, match="not a number") as caught:
        parse(text, file="table.toml", field="rows[0].seg")
    assert (caught.value.file, caught.value.field) == ("table.toml", "rows[0].seg")
    assert repr(text) in caught.value.problem
    assert "'idem'" in caught.value.mend


@given(st.text(max_size=12) | st.text("+-−–0123456789.%± ?hm", max_size=12))
def test_no_string_breaks_it(text: str) -> None:
    try:
        cell = parse(text)
    except SpecError as error:
        assert error.mend  # noqa: PT017
        return
    assert cell is None or (cell.half_unit > 0 and cell.text == text and (cell.sd is None or cell.sd >= 0))


@pytest.mark.parametrize("value", [33.10, 33, True, None, ["33.1"]])
def test_what_is_no_string_is_refused_because_its_precision_is_lost(value: object) -> None:
    with pytest.raises(SpecError, match="is not a string") as caught:
        parse(value, file="table.toml", field="seg")  # type: ignore[arg-type]
    assert (caught.value.file, caught.value.field) == ("table.toml", "seg")
    assert "Quote" in caught.value.mend
