"""Inline charts: round ticks, gaps where nothing is finite, labels that cover nothing, every text escaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.report.svg import COLOURS, DASHES, Point, _box, _labels, _meet, line_chart, scatter, style_class, ticks

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@given(FINITE, st.floats(1e-6, 1e6), st.integers(2, 6))
def test_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    found, room = ticks(low, low + span, most), 1e-6 * (abs(low) + span)
    assert 1 <= len(found) <= most
    assert found == sorted(set(found))
    assert all(low - room <= tick <= low + span + room for tick in found)


def test_ticks_of_nothing() -> None:
    assert ticks(2.0, 2.0) == [2.0]
    assert ticks(math.nan, 1.0) == []


def paths(svg: str) -> list[str]:
    return [e.get("d", "") for e in ElementTree.fromstring(svg).iter("path") if "ln" in e.get("class", "").split()]


def test_a_line_has_a_gap_where_a_value_is_not_finite() -> None:
    svg = line_chart("loss", "step", [(0, "a", [1, 2, 3, 4, 5], [1.0, 2.0, math.nan, math.inf, 3.0])])
    (line,) = paths(svg)
    assert line.count("M") == 2
    assert line.count("L") == 1
    assert not re.search("nan|inf", str(svg))


@pytest.mark.parametrize("lines", [[], [(0, "a", [1], [2.0])], [(0, "a", [1, 2], [math.nan, math.nan])]])
def test_a_chart_of_little_is_still_a_chart(lines: list) -> None:
    assert ElementTree.fromstring(line_chart("x", "step", lines)).get("role") == "img"


def test_higher_values_are_higher_and_later_ones_right() -> None:
    (line,) = paths(line_chart("loss", "step", [(0, "a", [1, 9], [5.0, 7.0])]))
    (x0, y0), (x1, y1) = [tuple(map(float, p)) for p in re.findall(r"[ML]([\d.]+) ([\d.]+)", line)]
    assert x1 > x0
    assert y1 < y0


def test_text_is_escaped() -> None:
    evil = '<script>"&'
    for svg in (
        line_chart(evil, evil, [(0, evil, [1, 2], [1.0, 2.0])]),
        scatter(evil, evil, evil, [Point(evil, 1.0, 2.0, evil), Point("b", 2.0, 2.0)], False),
    ):
        assert ElementTree.fromstring(svg).get("aria-label") == evil
        assert "<script" not in svg


def test_styles_repeat_after_all_colours_and_dashes() -> None:
    found = [style_class(i) for i in range(COLOURS * DASHES + 1)]
    assert len(set(found)) == COLOURS * DASHES
    assert found[0] == found[-1] == "c0 d0"


@given(st.lists(st.tuples(st.floats(45, 320), st.floats(20, 200)), min_size=1, max_size=14))
def test_labels_cover_neither_points_nor_each_other(places: list[tuple[float, float]]) -> None:
    found = _labels(places, [f"method {i}" for i in range(len(places))], 340, 216)
    boxes = [_box(x, y, anchor, 5.3 * len(text)) for x, y, anchor, text, _ in found]
    assert all(b[0] >= 0 and b[2] <= 340 for b in boxes)
    assert not any(_meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    assert not any(_meet(a, b) for a in boxes for b in points)


def test_a_wide_range_of_costs_has_a_logarithmic_axis() -> None:
    points = [Point("a", 1.0, 0.0), Point("b", 100.0, 1.0), Point("c", 10.0, 2.0)]

    def middles(logarithmic: bool) -> list[float]:
        tree = ElementTree.fromstring(scatter("t", "MACs", "Δ", points, logarithmic))
        return [float(c.get("cx", "")) for c in tree.iter("circle")]

    a, b, c = middles(True)
    assert c == pytest.approx((a + b) / 2, abs=0.2)
    a, b, c = middles(False)
    assert c < a + 0.2 * (b - a)
