"""Rows that the authors copied from other work: shown as such, whether they run here or not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_fakes import COLUMNS, REASON, row, session, smoke_checks, table

from mtlrepro.report import tables, words, write_report
from mtlrepro.report.content import build
from mtlrepro.report.headline import headline
from mtlrepro.suite.results import Check, RowResult, SessionResult, Value

SOURCE = "InvPT (ECCV 2022), Table 1; inferred"


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def quoted(name: str, tier: str | None = "smoke") -> RowResult:
    """A copied row: every printed cell is quoted; what ran here is held to constants alone."""
    checks = [Check("printed", key, "QUOTED", expected=text, reason=SOURCE) for key, text in (("seg", "33.18"),)]
    found = row(name, tier, checks=checks + smoke_checks()[-1:] * bool(tier))
    found.origin, found.source, found.not_run = "quoted", SOURCE, REASON if tier == "smoke" else "quoted"
    return found


def mixed() -> SessionResult:
    """One row of the authors, one that is copied, one that is copied and ran."""
    return session(table(row("Ours", checks=smoke_checks()), quoted("Old", None), quoted("Host")))


def test_the_three_kinds_of_rows() -> None:
    ours, old, host = mixed().tables[0].rows
    assert [words.is_copied(r) for r in (ours, old, host)] == [False, True, True]
    assert [words.is_quoted(r) for r in (ours, old, host)] == [False, True, False]
    assert [tables.evidence(r) for r in (ours, old, host)] == ["smoke", "quoted", "smoke, print quoted"]


@pytest.mark.parametrize("tier", ["smoke", "bench", "full"])
def test_a_copied_row_that_ran_counts_among_the_rows_that_ran(tier: str) -> None:
    result = session(table(quoted("Old", None), quoted("Host", tier), quoted("Other", tier)))
    text = headline(result).sentences[1]
    assert f"2 at {tier}" in text
    assert "1 quoted by the authors from other work and not run." in text
    assert text.endswith("Of those that ran, 2 are quoted in print: no run is held to those figures.")
    assert "without a result" not in text


def test_without_any_such_row_the_headline_says_nothing_of_it() -> None:
    result = session(table(row("Ours", checks=smoke_checks()), quoted("Old", None)))
    assert headline(result).sentences[1].endswith("1 quoted by the authors from other work and not run.")


def test_what_was_not_run_names_the_copied_row_that_has_no_run_alone() -> None:
    groups = {(g.what, tuple(g.examples)) for g in headline(mixed()).not_run if g.what.startswith("row")}
    assert ("row quoted", ("mti_net table 2a: Old",)) in groups
    assert ("row not run above smoke", ("mti_net table 2a: Ours", "mti_net table 2a: Host")) in groups


def test_a_copied_row_that_could_not_be_served_says_why() -> None:
    """It has a recipe, so its network is counted; it is not one that nobody here runs."""
    host = quoted("Host", None)
    host.resources, host.not_run = {"params": 402_092_888, "macs": 597.5e9}, "full: no CUDA GPU is visible"
    result = session(table(host))
    assert not words.is_quoted(host)
    assert tables.evidence(host) == "not run, print quoted"
    assert "1 without a result" in headline(result).sentences[1]
    assert "Of those that ran" not in headline(result).sentences[1]
    (group,) = [g for g in headline(result).not_run if g.what == "row not run"]
    assert (group.reason, group.count) == ("full: no CUDA GPU is visible", 1)


def test_figures_stand_beside_the_quoted_print_with_their_tier_and_without_a_verdict(tmp_path: Path) -> None:
    result = mixed()
    section = build(result, tmp_path).sections[0]
    lines = section.measured["smoke"].set_index("Row")
    assert [str(lines.loc[name].iloc[0]) for name in ("Ours", "Old", "Host")] == ["10.57", "–", "10.57"]
    frame = tables.comparisons(result.tables[0])
    host = frame[(frame["Row"] == "Host") & (frame["Column"] == words.heading(COLUMNS[0]))].iloc[0]
    assert (str(host["Printed"]), str(host["Measured"]), host["Reason"]) == ("33.18", "10.57, smoke", SOURCE)
    assert host["Verdict"].badges == (("QUOTED", "QUOTED"),)
    assert "Difference" not in frame or not str(host["Difference"])


def test_sources_are_named_once_each_and_the_rows_that_ran_apart(tmp_path: Path) -> None:
    section = build(mixed(), tmp_path).sections[0]
    assert f"Quoted from {SOURCE}: Old; Host." in section.statements
    assert [s for s in section.statements if s.startswith("Quoted in print and run here") and s.endswith(": Host.")]
    assert len([s for s in section.statements if s.startswith("Quoted")]) == 2
    assert section.statements[-1] == "A note."


def test_both_forms_of_the_report_say_it(tmp_path: Path) -> None:
    write_report(mixed(), tmp_path / "runs", tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text()
    html = (tmp_path / "report" / "report.html").read_text()
    assert re.search(r"\| Host +\| smoke, print quoted +\|", markdown)
    assert f"Quoted from {SOURCE}: Old; Host." in markdown
    assert '<span class="tier smoke">smoke, print quoted</span>' in html
    assert '<span class="tier quoted">quoted</span>' in html


def test_a_quoted_figure_is_no_compared_one_at_full() -> None:
    host = quoted("Host", "full")
    host.measured["seg"] = Value(34.0, 3, 0.2)
    assert headline(session(table(host))).sentences[0].startswith("0 printed figures compared at tier full")
