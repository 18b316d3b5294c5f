"""Readings that were counted and not trained, in the report: said so everywhere, beside the print, nothing missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_fakes import REASON, row, session, smoke_checks, table

from mtlrepro.report import tables, words, write_report
from mtlrepro.report.content import build
from mtlrepro.report.headline import headline
from mtlrepro.suite.results import Check, RowResult, SessionResult, Value

MARK = "another reading of Ours, not printed"
"""That it is not trained stands beside it: the next column says it, or the heading."""


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def relative(name: str, value: float) -> RowResult:
    """A row whose parameters are printed relative to the baseline row."""
    found = row(name, checks=smoke_checks())
    known = Check("resource", "params", "XFAIL", "conformance", "+57%", value, value - 57, 5.2, "tolerance", 1)
    found.checks[2] = known
    found.printed, found.measured = {**found.printed, "params": "+57%"}, {**found.measured, "params": Value(value)}
    return found


def counted(name: str = "Ours, unreduced", value: float = 53.876) -> RowResult:
    return RowResult(
        name=name,
        origin="reading",
        source="Ours",
        tier="conformance",
        measured={"params": Value(value)},
        beside={"params": "+57%"},
        resources={"params": 12_125_301, "macs": 19.57e9},
    )


def every() -> SessionResult:
    return session(table(row("Single task", checks=smoke_checks()), relative("Ours", 8.86), counted()))


def test_its_line_has_the_count_relative_as_printed_and_the_print(tmp_path: Path) -> None:
    frame = build(every(), tmp_path).sections[0].measured["conformance"]
    assert [[str(v) for v in line] for line in frame[["Row", "Params (M) ↓"]].itertuples(index=False)] == [
        ["Single task", "7.88 (−0.12, band ± 0.29) PASS"],
        ["Ours", "+8.86 % (−48.14, band ± 5.2) XFAIL"],
        [f"Ours, unreduced ({MARK})", "+53.88 % (−3.12 from +57%)"],
    ]
    assert all(str(v) == "–" for v in frame.iloc[2, 1:] if "from" not in str(v))
    alone = build(session(table(counted())), tmp_path).sections[0].measured
    assert list(alone) == ["conformance"]
    assert str(alone["conformance"].iloc[0]["Params (M) ↓"]) == "+53.9 % (−3.1 from +57%)"


def test_a_relative_figure_is_told_from_an_amount_wherever_it_stands() -> None:
    lines = tables.comparisons(every().tables[0]).set_index(["Row", "Column"])["Measured"]
    assert lines["Single task", "Params (M) ↓"] == "7.88, conformance"
    assert lines["Ours", "Params (M) ↓"] == "+8.9 %, conformance"
    assert lines["Ours", "Δ_m % ↑"] == "−9.50, smoke"  # a column of percentages says so itself


def test_the_headline_counts_it_apart_and_misses_nothing_of_it() -> None:
    found = headline(every())
    assert found.sentences[1].endswith(
        "Besides, 1 other reading of printed rows, which no paper prints: 1 counted, not trained."
    )
    assert not [g for g in found.not_run if any("unreduced" in example for example in g.examples)]
    assert not [where for where, _ in found.attention if "unreduced" in where]
    trained = row("Ours, otherwise")
    trained.origin, trained.source = "reading", "Ours"
    text = headline(session(table(row("Ours"), trained, counted()))).sentences[1]
    assert text.endswith(
        "2 other readings of printed rows, which no paper prints: 0 at full, 1 at smoke (small twins on synthetic "
        "scenes), 1 counted, not trained."
    )


def test_the_headline_of_readings_alone_counts_no_printed_rows() -> None:
    def second(*rows: RowResult) -> str:
        return headline(session(table(*rows))).sentences[1]

    assert second(counted()) == (
        "No printed row was selected; 1 other reading of printed rows was counted, not trained."
    )
    assert second(*[counted(f"Ours, {i}") for i in range(5)]) == (
        "No printed row was selected; 5 other readings of printed rows were counted, not trained."
    )
    trained = row("Ours, otherwise")
    trained.origin, trained.source = "reading", "Ours"
    assert second(trained, counted()) == (
        "No printed row was selected; 2 other readings of printed rows, which no paper prints: 0 at full, 1 at smoke "
        "(small twins on synthetic scenes), 1 counted, not trained."
    )


def test_a_claim_that_holds_is_given_no_reason_for_want_of_one() -> None:
    claims = [Check("claim", "Ours is larger", "PASS", "conformance"), Check("claim", "Ours", "SKIPPED", reason=REASON)]
    for rows in ((row("Ours"), counted()), (row("Ours", "full"), row("Ours, again"))):
        reasons = tables.claims(table(*rows, claims=claims))["Reason"]
        assert list(reasons) == ["", "see what was not run, and why"]


def test_every_form_of_the_report_says_it(tmp_path: Path) -> None:
    assert tables.evidence(counted()) == words.ONLY_COUNTED
    assert words.mark(counted()) == MARK
    write_report(every(), tmp_path / "runs", tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text()
    html = (tmp_path / "report" / "report.html").read_text()
    line = next(s for s in markdown.splitlines() if s.startswith(f"| Ours, unreduced ({MARK})"))
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["–", "–", "+53.88 % (−3.12 from +57%)", "–"]
    assert f">Ours, unreduced <small>{MARK}</small></th>" in html
    assert ">counted, not trained</span>" in html
    assert "+53.88 % <small>−3.12 from +57%</small>" in html
