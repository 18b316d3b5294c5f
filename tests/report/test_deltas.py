"""Bars of Δ_m and Δ_m against cost: one axis for what may be compared, never one chart for two kinds of evidence."""

from __future__ import annotations

import math
import re

import pytest
from report_fakes import own_session, row, table

from mtlrepro.report.deltas import bars, trade_offs


def test_a_bar_runs_from_zero_to_its_figure() -> None:
    rows = [row("A", "full"), row("B", "full"), row("C", "full")]
    for one, value in zip(rows, (-2.0, 4.0, math.nan), strict=True):
        one.delta = {"own": value, "paper": 2.0}
    found = bars(table(*rows))
    assert found is not None
    assert [kind for kind, _ in found.series] == ["paper", "own"]
    for place, _, line in found.lines:
        (_, printed), (_, own) = line
        assert printed is not None
        assert own is not None
        assert printed.zero == own.zero
        scale = printed.length / 2.0
        if place == 0:
            assert (own.start + own.length, own.length) == pytest.approx((own.zero, 2.0 * scale))
        elif place == 1:
            assert (own.start, own.length) == pytest.approx((own.zero, 4.0 * scale))
        else:
            assert (own.length, own.text) == (0.0, "nan")


def test_scenes_are_marked_and_have_an_axis_of_their_own() -> None:
    found = bars(table(row("A"), row("B")))
    assert found is not None
    assert [kind for kind, _ in found.series] == ["paper", "own apart"]
    assert found.series[1][1] == "measured at smoke: synthetic scenes, not comparable"
    (_, printed), (_, own) = found.lines[0][2]
    assert printed.zero != own.zero


def test_nothing_measured_is_no_bars() -> None:
    assert bars(table(row("A", None))) is None


def test_on_ones_own_dataset_nothing_is_called_synthetic() -> None:
    found = bars(own_session().tables[0])
    assert found is not None
    assert found.series == [("own", "measured")]


def test_cost_is_drawn_once_for_the_print_and_once_for_ours() -> None:
    rows = [row("A"), row("B"), row("C", None)]
    rows[1].resources = {"macs": 90e9}
    printed, own = trade_offs(table(*rows))
    assert printed.title == "Δ_m printed in the paper"
    assert printed.note == "MACs are counted on the paper's exact networks."
    assert own.title == "Δ_m measured at smoke: synthetic scenes, not comparable"
    assert own.note.endswith("says nothing about the paper.")
    for chart in (printed.chart, own.chart):
        assert len(re.findall("<circle", chart)) == 2
        assert "B: Δ_m" in chart
    assert 'class="pt own apart"' in own.chart
    assert 'class="pt paper"' in printed.chart
    rows[1].resources = dict(rows[0].resources)
    assert trade_offs(table(*rows)) == []
