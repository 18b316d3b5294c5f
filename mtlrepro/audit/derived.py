"""Printed values that other printed values determine: Δ_m, means over classes or gains, relative resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from typing import Any, Protocol

from mtlrepro.audit.interval import Interval, gain, total
from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import Reading
from mtlrepro.expected.cells import Printed
from mtlrepro.expected.panel import Panel
from mtlrepro.expected.schema import Column, PrintedRow


class Lacking(Exception):
    """What a value would have to be computed from is not printed."""


def derived_items(panel: Panel, readings: tuple[Reading, ...]) -> Iterator[Item]:
    """An item for every printed value of a panel that other printed values determine."""
    for row in panel.rows:
        for column in panel.columns:
            cell = panel.cell(row, column)
            kind = _kind(panel, row, column)
            if cell is not None and kind and not cell.reasoned:
                mine = [r for r in readings if r.kind == kind and r.about(row.id, column.key)]
                yield _item(panel, row, column, cell, kind, mine)


def _kind(panel: Panel, row: PrintedRow, column: Column) -> str:
    if column.metric == "delta_m":
        return "delta" if len(column.over) > 1 or not _gains_only(panel, column) else ""
    if column.metric == "semseg.miou" and _classes(panel):
        return "mean"
    return "relative" if column.relative and panel.relative(row.name, column) else ""


def _gains_only(panel: Panel, column: Column) -> bool:
    """A single gain in a table that prints neither its metric nor its baseline is a measurement, not a derivation."""
    return not any(c.metric in column.over for c in panel.columns)


def _item(panel: Panel, row: PrintedRow, column: Column, cell: Printed, kind: str, readings: list[Reading]) -> Item:
    compute: _Derived = COMPUTE[kind](panel, row, column)

    def item(low: float | None, high: float | None, off: float, status: str, reading: str = "") -> Item:
        place = (panel.paper, panel.table, panel.key, row.name, column.title)
        return Item(kind, *place, cell.text, low, high, off, status, compute.against, reading)

    try:
        allowed = compute.interval()
    except Lacking as error:
        return item(None, None, 0.0, "unchecked", str(error))
    off = allowed.distance(Interval.of(cell))
    if off == 0:
        return item(allowed.low, allowed.high, 0.0, "follows")
    for reading in readings:
        if reading.how == "open" or compute.follows_under(reading, cell):
            status = "open" if reading.how == "open" else "explained"
            return item(allowed.low, allowed.high, off, status, reading.text)
    return item(allowed.low, allowed.high, off, "open")


class _Derived(Protocol):
    """How a derived value is computed.

    Attributes:
        against: what it is computed from, in words.
    """

    against: str

    def interval(self) -> Interval:
        """What the other printed values allow; raises Lacking."""

    def follows_under(self, reading: Reading, cell: Printed) -> bool:
        """Does the printed value follow under that reading?"""


class _Delta:
    """Δ_m of a cell from the printed metrics of its row and of the row it refers to."""

    def __init__(self, panel: Panel, row: PrintedRow, column: Column):
        self.panel, self.row, self.column = panel, row, column
        self.reference = panel.reference(row, column)
        self.against = str(self.reference) if self.reference else "the gains printed beside it"

    def interval(self, reading: Reading | None = None) -> Interval:
        at = self.reference
        if at is not None and at.table is self.panel.printed and (at.panel, at.row) == (self.panel.key, self.row):
            return Interval(0.0, 0.0)  # the baseline row itself
        over = (reading.over if reading else ()) or self.panel.averaged(self.row, self.column)
        gains = [self._gain(metric, reading) for metric in over]
        return total(gains) * (1.0 / ((reading.divisor if reading else 0) or len(over)))

    def _gain(self, metric: str, reading: Reading | None) -> Interval:
        single = next((c for c in self.panel.columns if c.over == (metric,) and c.key != self.column.key), None)
        figures = self.panel.metrics(self.row)
        if metric not in figures and single is not None and (cell := self.panel.cell(self.row, single)) is not None:
            return Interval.of(cell)
        base = self.reference.metrics() if self.reference is not None else {}
        if metric not in figures or metric not in base:
            who = "this row" if metric not in figures else "the baseline row"
            raise Lacking(f"{metric} of {who} is not printed")
        column, cell = figures[metric]
        base_column, base_cell = base[metric]
        if reading is not None:
            base_cell = reading.replaced().get(metric, base_cell)
            half = reading.precision.get(metric, cell.half_unit)
            cell = replace(cell, half_unit=half)
        value, reference = Interval.of(cell, column.scale), Interval.of(base_cell, base_column.scale)
        if min(value.low, reference.low) <= 0:
            raise Lacking(f"{metric} may be zero before rounding")
        result = gain(value, reference, column.better)
        if reading is not None and reading.how == "runs":
            return result.widened(_nonlinearity(cell, base_cell, self.panel.runs))
        return result

    def follows_under(self, reading: Reading, cell: Printed) -> bool:
        printed = Interval.of(cell)
        if reading.how == "truncated":
            return self.interval().distance(Interval.cut(cell)) == 0
        if reading.how == "stated":
            return True
        try:
            return self.interval(reading).distance(printed) == 0
        except Lacking:
            return False


def _nonlinearity(cell: Printed, base: Printed, runs: int) -> float:
    """Most that the mean of per-run gains can differ from the gain of the means, in percent.

    To second order the mean of M/B is (m/b)(1 + var(B)/b² - cov(M, B)/(m b)), with the variances of the runs as a
    population, and the covariance is at most the product of the deviations.
    """
    shrink = sqrt((runs - 1) / runs)
    sm, sb = (cell.sd or 0.0) * shrink / cell.value, (base.sd or 0.0) * shrink / base.value
    return 100.0 * cell.value / base.value * (sb * sb + sm * sb)


class _ClassMean:
    """A mean over classes from the classes' printed figures."""

    against = "the printed figures of the classes"

    def __init__(self, panel: Panel, row: PrintedRow, column: Column):
        self.panel, self.row, self.column = panel, row, column

    def interval(self) -> Interval:
        cells = [self.panel.cell(self.row, c) for c in _classes(self.panel)]
        known = [c for c in cells if c is not None]
        if len(known) < len(cells):
            raise Lacking("the figures of the classes are not printed")
        return total([Interval.of(c) for c in known]) * (1.0 / len(known))

    def follows_under(self, reading: Reading, cell: Printed) -> bool:
        return reading.how == "stated"


def _classes(panel: Panel) -> list[Column]:
    return [c for c in panel.columns if c.metric.startswith("semseg.iou_")]


class _Relative:
    """A resource printed relative to the baseline row's, from amounts that are printed elsewhere."""

    def __init__(self, panel: Panel, row: PrintedRow, column: Column):
        self.column = column
        self.reference, self.there = panel.reference(row), panel.elsewhere(row)
        self.against = str(self.there or self.reference or "the baseline row")

    def interval(self) -> Interval:
        amounts = [place.values().get(self.column.figure) if place else None for place in (self.there, self.reference)]
        if amounts[0] is None or amounts[1] is None or amounts[0][1].percent or amounts[1][1].percent:
            raise Lacking("the row's own amount is not printed")
        (column, cell), (base_column, base_cell) = amounts[0], amounts[1]
        ratio = Interval.of(cell, column.scale).over(Interval.of(base_cell, base_column.scale))
        return (ratio + Interval(-1.0, -1.0)) * 100.0

    def follows_under(self, reading: Reading, cell: Printed) -> bool:
        return reading.how == "stated"


COMPUTE: dict[str, Any] = {"delta": _Delta, "mean": _ClassMean, "relative": _Relative}
