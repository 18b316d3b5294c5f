"""Intervals: whatever a print was rounded from stays inside, and distances are exact at the ends of decimal prints."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.audit.interval import Interval, gain, total
from mtlrepro.expected.cells import Printed, parse

DIGITS = st.integers(0, 4)
AMOUNT = st.floats(0.6, 1000.0)  # prints with no decimal stay above zero
SIGNED = st.floats(-1000.0, 1000.0)


def printed(value: float, digits: int) -> Printed:
    cell = parse(f"{'-' if value < 0 else '+'} {abs(value):.{digits}f}")
    assert cell is not None
    return cell


def holds(interval: Interval, value: float) -> bool:
    return interval.distance(Interval(value, value)) == 0


@given(SIGNED, DIGITS, st.sampled_from([1.0, 100.0, 1e-6, 1e-9]))
def test_a_print_stands_for_every_number_that_rounds_to_it(value: float, digits: int, scale: float) -> None:
    interval = Interval.of(printed(value, digits), scale)
    assert holds(interval, value / scale)
    assert interval.high - interval.low == pytest.approx(10.0**-digits / scale)
    assert interval.middle == pytest.approx(round(value, digits) / scale, rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(SIGNED, DIGITS), min_size=1, max_size=7))
def test_a_sum_holds_the_sum(numbers: list[tuple[float, int]]) -> None:
    parts = [Interval.of(printed(v, d)) for v, d in numbers]
    assert holds(total(parts), math.fsum(v for v, _ in numbers))
    assert holds(total(parts) * (1 / len(parts)), math.fsum(v for v, _ in numbers) / len(numbers))
    assert total(parts[:2]) == (parts[0] + parts[1] if len(parts) > 1 else parts[0])


@given(SIGNED, DIGITS, st.floats(-10, 10))
def test_a_multiple_holds_the_multiple_and_keeps_its_ends_in_order(value: float, digits: int, factor: float) -> None:
    result = Interval.of(printed(value, digits)) * factor
    assert result.low <= result.high
    assert holds(result, value * factor)


@given(AMOUNT, DIGITS, AMOUNT, DIGITS)
def test_a_quotient_holds_the_quotient(value: float, digits: int, base: float, base_digits: int) -> None:
    a, b = Interval.of(printed(value, digits)), Interval.of(printed(base, base_digits))
    assert holds(a.over(b), value / base)


@given(AMOUNT, DIGITS, AMOUNT, DIGITS, st.sampled_from(["higher", "lower"]))
def test_a_gain_holds_the_gain_and_no_more_than_the_corners(
    value: float, digits: int, base: float, base_digits: int, better: str
) -> None:
    a, b = Interval.of(printed(value, digits)), Interval.of(printed(base, base_digits))
    sign = 1 if better == "higher" else -1
    found = gain(a, b, better)
    assert holds(found, sign * 100 * (value - base) / base)
    corners = [sign * 100 * (x - y) / y for x, y in product((a.low, a.high), (b.low, b.high))]
    assert (found.low, found.high) == (pytest.approx(min(corners), abs=1e-6), pytest.approx(max(corners), abs=1e-6))


def test_a_better_figure_gains_whatever_its_direction() -> None:
    more, less = Interval(2.0, 2.0), Interval(1.0, 1.0)
    assert gain(more, less, "higher") == Interval(100, 100)
    assert gain(less, more, "higher") == Interval(-50, -50)
    assert gain(more, less, "lower") == Interval(-100, -100)
    assert gain(less, more, "lower") == Interval(50, 50)


@pytest.mark.parametrize(("value", "base"), [(Interval(0, 1), Interval(1, 2)), (Interval(1, 2), Interval(-1, 1))])
def test_a_quotient_with_zero_is_refused(value: Interval, base: Interval) -> None:
    with pytest.raises(ValueError, match="over"):
        value.over(base)


def test_widening_moves_both_ends() -> None:
    assert Interval(1, 2).widened(0.5) == Interval(0.5, 2.5)


ENDS = st.tuples(st.integers(-50, 50), st.integers(0, 10)).map(lambda e: Interval(e[0] / 4, (e[0] + e[1]) / 4))


@given(ENDS, ENDS)
def test_distance_is_zero_exactly_where_intervals_meet(a: Interval, b: Interval) -> None:
    meet = any(a.low <= k / 4 <= a.high and b.low <= k / 4 <= b.high for k in range(-50, 61))
    assert (a.distance(b) == 0) is meet
    assert a.distance(b) == -b.distance(a)
    if not meet:
        assert a.distance(b) == (b.low - a.high if b.low > a.high else b.high - a.low)
        assert (a.distance(b) > 0) is (b.middle > a.middle)


@given(st.integers(-(10**6), 10**6), st.integers(0, 4), st.integers(0, 4))
def test_neighbouring_prints_touch_and_the_next_but_one_do_not(units: int, digits: int, apart: int) -> None:
    unit = Fraction(1, 10**digits)
    here, there = (Interval.of(printed(float(k * unit), digits)) for k in (units, units + apart))
    gap = float((apart - 1) * unit) if apart > 1 else 0.0
    assert here.distance(there) == pytest.approx(gap, rel=1e-6)
    assert there.distance(here) == pytest.approx(-gap, rel=1e-6)
    assert (here.distance(there) == 0) is (apart < 2)


@given(st.integers(1, 10**5), st.integers(0, 3), st.integers(1, 3))
def test_prints_of_different_precision_touch_where_the_finer_one_is_the_end(units: int, digits: int, more: int) -> None:
    """0.15 prints as 0.1 or 0.2, and so do 0.150 and what rounds to it."""
    finer = f"{Decimal(2 * units + 1) / (2 * 10**digits):.{digits + more}f}"
    cell = parse(finer)
    assert cell is not None
    for neighbour in (units, units + 1):
        coarse = Interval.of(printed(neighbour / 10**digits, digits))
        assert coarse.distance(Interval.of(cell)) == 0
