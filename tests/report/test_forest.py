"""Forest and tiles: which comparisons are drawn, on which side, and that scenes never stand beside the print."""

from __future__ import annotations

import math

import pytest
from report_fakes import COLUMNS, full_session, row, session, smoke_checks, smoke_session, table

from mtlrepro.report.forest import SHOWN, forest
from mtlrepro.report.headline import headline
from mtlrepro.report.tiles import NO_TIER, row_tokens, tally, tiles
from mtlrepro.suite.results import Check, RowResult


def check(kind: str, subject: str, difference: float, tier: str = "full", verdict: str = "PASS") -> Check:
    return Check(kind, subject, verdict, tier, "33.18", 33.0, difference, 0.5, "spread", 3)


def strips(*checks: Check) -> list:
    found = forest(table(row("A", checks=list(checks)), row("B")))
    assert found is not None
    assert [name for _, name, _ in found.lines] == ["A"]
    return [strip for _, _, strip in found.lines[0][2]]


@pytest.mark.parametrize(
    ("subject", "difference", "at"), [("seg", 0.5, 0.7), ("seg", -0.5, 0.3), ("dep", 0.5, 0.3), ("dep", 0.0, 0.5)]
)
def test_right_is_better_whatever_the_metric(subject: str, difference: float, at: float) -> None:
    (strip,) = strips(check("printed", subject, difference))
    assert SHOWN == 2.5
    assert strip.at == pytest.approx(at)
    assert strip.beyond == 0


@pytest.mark.parametrize(
    ("difference", "at", "beyond"), [(99.0, 1.0, 1), (-99.0, 0.0, -1), (math.nan, 0.0, -1), (math.inf, 0.0, -1)]
)
def test_what_lies_far_out_or_diverged_stands_at_an_end(difference: float, at: float, beyond: int) -> None:
    (strip,) = strips(check("printed", "seg", difference, verdict="FAIL"))
    assert (strip.at, strip.beyond) == (at, beyond)


def test_a_band_of_nothing_is_left_by_any_difference() -> None:
    exact = [check("recorded", metric, d, "smoke") for metric, d in (("semseg.miou", 0.0), ("depth.rmse", 1e-9))]
    for one in exact:
        one.band = 0.0
    same, worse = strips(*exact)
    assert (same.at, same.beyond) == (0.5, 0)
    assert (worse.at, worse.beyond) == (0.0, -1)


def test_evidence_of_different_kinds_has_groups_of_its_own() -> None:
    small = [check("recorded", "semseg.miou", 0.1, "smoke"), check("resource", "params", 0.1, "conformance")]
    paper = [check("printed", "dep", 0.1), check("printed", "seg", 0.1)]
    found = forest(table(row("A", checks=small), row("B", "full", checks=paper)))
    assert found is not None
    assert [(g.kind, g.columns) for g in found.groups] == [
        ("printed full", ["Dep ↓ [m]", "Seg ↑ [%]"]),
        ("resource conformance", ["Params (M) ↓"]),
        ("recorded smoke", ["semseg.miou"]),
    ]
    assert "no evidence about the paper" in found.groups[-1].worth
    lines = {name: [bool(strip) for _, _, strip in strips] for _, name, strips in found.lines}
    assert lines == {"A": [False, False, True, True], "B": [True, True, False, False]}


def test_figures_of_scenes_and_undecided_ones_are_not_drawn() -> None:
    smoke = check("printed", "seg", -22.6, "smoke", "FAIL")  # held back by the report: not compared
    undecided = Check("printed", "dep", "SKIPPED", expected="0.667", reason="no GPU")
    assert forest(table(row("A", checks=[smoke, undecided]))) is None


def test_speed_and_memory_of_records_are_better_when_less() -> None:
    (strip,) = strips(check("recorded", "mtl/hrnet_nano step_ms", -0.25, "bench"))
    assert strip.at > 0.5


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_tiles_count_every_check_once_and_order_tiers_by_strength() -> None:
    for result in (smoke_session(), full_session()):
        found = tiles(result)
        assert sum(tile.checks for tile in found) == len(result.checks())
        totals: dict[str, int] = {}
        for tile in found:
            for verdict, count in tile.verdicts.items():
                totals[verdict] = totals.get(verdict, 0) + count
        assert totals == headline(result).verdicts
    mixed = session(table(row("A", "full"), row("B", checks=smoke_checks()), row("C", None)))
    assert [(t.tier, t.rows) for t in tiles(mixed)] == [("full", 1), ("smoke", 1), ("conformance", 0), (NO_TIER, 1)]


def test_a_tile_and_a_filter_agree_that_a_figure_of_scenes_is_not_compared() -> None:
    held_back = RowResult("A", tier="smoke", checks=[check("printed", "seg", -22.6, "smoke", "FAIL")])
    assert row_tokens(held_back) == "smoke:SKIPPED"
    (tile,) = tiles(session(table(held_back)))
    assert tile.verdicts == tally(table(held_back)) == {"SKIPPED": 1}
    assert COLUMNS[0].key == "seg"
