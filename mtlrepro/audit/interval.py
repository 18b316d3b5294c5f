"""Closed intervals of real numbers: what a printed figure can have been before it was rounded."""

from __future__ import annotations

from dataclasses import dataclass

from mtlrepro.expected.cells import Printed

SLACK = 1e-9
"""Relative slack of comparisons: decimal prints have no exact binary form."""


@dataclass(frozen=True)
class Interval:
    """`low <= x <= high`.

    Example:
        >>> a, b = Interval(1.0, 2.0), Interval(4.0, 5.0)
        >>> a + b, a.distance(b), (a * -1).high
        (Interval(low=5.0, high=7.0), 2.0, -1.0)
    """

    low: float
    high: float

    @classmethod
    def of(cls, cell: Printed, scale: float = 1.0) -> Interval:
        """Every value that rounds to a printed one, divided by a positive scale."""
        return cls((cell.value - cell.half_unit) / scale, (cell.value + cell.half_unit) / scale)

    @classmethod
    def cut(cls, cell: Printed, scale: float = 1.0) -> Interval:
        """Every value that gives a printed one if digits are cut off, not rounded, divided by a positive scale."""
        unit = 2 * cell.half_unit if cell.value >= 0 else -2 * cell.half_unit
        ends = (cell.value / scale, (cell.value + unit) / scale)
        return cls(min(ends), max(ends))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> Interval:
        ends = (self.low * factor, self.high * factor)
        return Interval(min(ends), max(ends))

    def over(self, other: Interval) -> Interval:
        """Quotient of two intervals of positive numbers.

        Raises:
            ValueError: if either reaches zero.
        """
        if self.low <= 0 or other.low <= 0:
            raise ValueError(f"{self} over {other}")
        return Interval(self.low / other.high, self.high / other.low)

    def widened(self, by: float) -> Interval:
        """Both ends moved outwards."""
        return Interval(self.low - by, self.high + by)

    def distance(self, other: Interval) -> float:
        """Gap between two intervals, 0 if they meet; positive if `other` lies above, negative if below."""
        slack = SLACK * max(1.0, abs(self.low), abs(self.high), abs(other.low), abs(other.high))
        if other.low > self.high + slack:
            return other.low - self.high
        if other.high < self.low - slack:
            return other.high - self.low
        return 0.0

    @property
    def middle(self) -> float:
        """Its centre."""
        return (self.low + self.high) / 2


def gain(value: Interval, base: Interval, better: str) -> Interval:
    """Relative gain in percent of a figure over a baseline, positive where the figure is better.

    Example:
        >>> gain(Interval(1.0, 1.5), Interval(2.0, 2.0), "lower")
        Interval(low=25.0, high=50.0)
    """
    sign = 100.0 if better == "higher" else -100.0
    return (value.over(base) + Interval(-1.0, -1.0)) * sign


def total(parts: list[Interval]) -> Interval:
    """Sum of intervals."""
    return Interval(sum(p.low for p in parts), sum(p.high for p in parts))
