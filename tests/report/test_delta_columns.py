"""Panels with two columns of Δ_m: which of them stands for a row is said wherever no column heading does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_fakes import COLUMNS, note_figures, row, session, table

from mtlrepro.report import curves, tables, words
from mtlrepro.report.content import build
from mtlrepro.suite.results import ColumnInfo, TableResult, Value

OTHER = ColumnInfo("delta_r50", "Δ_m ↑ (R50-FPN)", "%", "higher", "delta_m@1")


def two(first: bool = False) -> TableResult:
    """Rows whose Δ_m are those of the column "Δ_m %", with another column behind it, or before it."""
    rows = [row("MTL", "full"), row("Ours", "full")]
    for one in rows:
        one.printed["delta_r50"], one.measured["delta_r50"] = "- 5.58", Value(40.0)
    found = table(*rows)
    found.columns = [OTHER, *COLUMNS] if first else [*COLUMNS, OTHER]
    return found


def titles(found: TableResult, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Headings of the bars of Δ_m."""
    figures: list[Figure] = note_figures(monkeypatch, curves)
    build(session(found), folder)
    return [figure.texts[0].get_text() for figure in figures]


@pytest.mark.parametrize("first", [False, True])
def test_headings_name_the_column(first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = two(first)
    assert list(tables.deltas(found).columns) == [
        "Row",
        "Printed Δ_m of 'Δ_m %' [%]",
        "Δ_m of 'Δ_m %' against our baseline row [%]",
        "Measured at",
        "Δ_m of 'Δ_m %' against the printed baseline [%]",
    ]
    assert titles(found, tmp_path, monkeypatch) == ["Δ_m of 'Δ_m %', mti_net table 2a"]


def test_one_column_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = table(row("MTL", "full"))
    assert "Δ_m against our baseline row [%]" in tables.deltas(found).columns
    assert titles(found, tmp_path, monkeypatch) == ["Δ_m, mti_net table 2a"]


def test_a_column_is_known_by_its_print_or_by_what_was_measured() -> None:
    found = two(first=True)
    for one in found.rows:
        one.printed["delta_r50"] = one.printed["delta"]  # alike in print
    assert words.delta_name(found) == "Δ_m of 'Δ_m %'"
    found = two(first=True)
    for one in found.rows:
        one.measured.clear()
        one.delta = {"paper": -1.71}
    assert words.delta_name(found) == "Δ_m of 'Δ_m %'"
    found = two()
    for one in found.rows:
        one.measured["delta"] = Value(math.nan)
        one.delta["own"] = math.nan  # a run that diverged
    assert words.delta_name(found) == "Δ_m of 'Δ_m %'"
    found.rows[0].delta["paper"] = 7.0  # of neither
    assert words.delta_name(found) == "Δ_m"


def test_a_column_without_a_figure_is_not_filled_from_another() -> None:
    found = two()
    del found.rows[0].measured["delta_r50"]
    frame = tables.measured_figures(found)["full"]
    assert [str(v) for v in frame["Δ_m ↑ (R50-FPN) [%]"]] == ["–", "40.00"]
