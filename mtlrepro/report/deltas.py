"""Δ_m in a page: bars a row, and what it costs: Δ_m against multiply-accumulates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from mtlrepro.report import words
from mtlrepro.report.curves import delta_series
from mtlrepro.report.svg import Point, scatter
from mtlrepro.suite.results import TableResult

WIDE = 3.0
"""Ratio of the largest to the smallest cost from which its axis is logarithmic."""


@dataclass(frozen=True)
class Bar:
    """A bar from zero: where it begins and how long it is, in percent of its strip, zero's place, and its text."""

    start: float
    length: float
    zero: float
    text: str


@dataclass
class Bars:
    """Heading and style of each series, and for every row its place in the table, its name and its bars."""

    series: list[tuple[str, str]]
    lines: list[tuple[int, str, list[tuple[str, Bar | None]]]]


@dataclass
class TradeOff:
    """A chart of Δ_m against cost, and what must be known to read it."""

    title: str
    chart: Markup
    note: str


def bars(table: TableResult) -> Bars | None:
    """Bars of the paper's Δ_m and ours; None where ours was not measured."""
    rows = [(i, row) for i, row in enumerate(table.rows) if {"own", "paper"} & set(row.delta)]
    if not any("own" in row.delta for _, row in rows):
        return None
    found, comparable = delta_series([row for _, row in rows])
    found = [one for one in found if any(one.key in row.delta for _, row in rows)]
    kind = {one.key: "paper" if one.key == "paper" else "own" if comparable else "own apart" for one in found}
    lines = [(i, row.name, [(kind[s.key], _bar(row.delta.get(s.key), s.limits)) for s in found]) for i, row in rows]
    return Bars([(kind[one.key], one.heading) for one in found], lines)


def _bar(value: float | None, limits: tuple[float, float]) -> Bar | None:
    if value is None:
        return None
    low, high = limits
    zero = 100 * (0 - low) / (high - low)
    if not math.isfinite(value):
        return Bar(zero, 0.0, zero, str(value))
    end = 100 * (value - low) / (high - low)
    return Bar(min(zero, end), abs(end - zero), zero, words.number(value, 2, signed=True))


def trade_offs(table: TableResult) -> list[TradeOff]:
    """Δ_m against the MACs of the paper's exact networks: as printed, and as measured, never in one chart.

    A chart needs two rows that differ in cost.
    """
    charts = []
    for series in delta_series(table.rows)[0]:
        points = []
        for row in table.rows:
            macs, value = row.resources.get("macs", 0.0) / 1e9, row.delta.get(series.key, math.nan)
            if macs > 0 and math.isfinite(value):
                detail = f"Δ_m {words.number(value, 2, signed=True)} %, {macs:.1f} G MACs"
                points.append(Point(row.name, macs, value, detail))
        costs = {p.x for p in points}
        if len(costs) < 2:
            continue
        apart = series.key == "own" and series.heading != "measured"
        style = "paper" if series.key == "paper" else "own apart" if apart else "own"
        title = f"Δ_m {series.heading}"
        said = f"{title}, against MACs: " + "; ".join(f"{p.label} {p.detail}" for p in points)
        chart = scatter(said, "MACs [G]", "Δ_m [%]", points, max(costs) > WIDE * min(costs), style)
        note = "MACs are counted on the paper's exact networks"
        note += "; Δ_m is that of small twins or scenes and says nothing about the paper." if apart else "."
        charts.append(TradeOff(title, chart, note))
    return charts
