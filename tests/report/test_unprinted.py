"""Rows that are not printed, in the report: named as other readings, counted apart, beside the print, no verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_fakes import REASON, row, session, smoke_checks, table

from mtlrepro.errors import StoreError
from mtlrepro.report import curves, load_report, tables, words, write_report
from mtlrepro.report.content import build
from mtlrepro.report.headline import headline
from mtlrepro.suite.results import Check, RowResult, SessionResult, Value

MARK = "another reading of LPS, not printed"
DIFFERENCE = "The difference of another reading is that from the print of the row it reads otherwise"


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def reading(tier: str | None = "smoke", name: str = "LPS-L") -> RowResult:
    """Another reading of "LPS", held to constants at smoke and to nothing at full."""
    found = row(name, tier, checks=smoke_checks()[-1:] if tier == "smoke" else [])
    found.origin, found.source, found.printed = "reading", "LPS", {}
    found.delta.pop("paper", None)
    if tier == "full":
        found.measured = {"seg": Value(33.0, 3, 0.2), "dep": Value(0.662), "delta": Value(-1.5)}
        found.beside = {"seg": "33.18", "dep": "0.667", "delta": "- 1.71"}
    return found


def printed(tier: str = "smoke") -> RowResult:
    failed = Check(
        "printed", "seg", "FAIL", "full", "33.18", 30.0, -3.18, 0.5, "tolerance", 1, reason="-3.18 % from print"
    )
    return row("LPS", tier, checks=smoke_checks() if tier == "smoke" else [failed])


def both(tier: str = "smoke") -> SessionResult:
    return session(table(printed(tier), reading(tier)))


def test_rows_of_the_print_and_other_readings_are_counted_apart() -> None:
    text = headline(both()).sentences[1]
    assert text.startswith("1 row in 1 table: 0 at full, 1 at smoke")
    assert "Besides, 1 other reading of printed rows, which no paper prints: 0 at full, 1 at smoke" in text
    result = session(table(printed("full"), reading("full"), reading(None), reading("full", "LPS, κ = 7.5")))
    text = headline(result).sentences[1]
    assert text.startswith("1 row in 1 table: 1 at full.")
    assert text.endswith(
        "Besides, 3 other readings of printed rows, which no paper prints: 2 at full, 1 without a result."
    )
    assert "Besides" not in headline(session(table(printed()))).sentences[1]


def test_a_reading_alone_confirms_and_refutes_nothing() -> None:
    first, second, *_ = headline(session(table(reading("full")))).sentences
    assert first == "0 printed figures compared at tier full: none."
    assert second.startswith("No printed row was selected; 1 other reading of printed rows, which no paper prints: ")


def test_what_was_not_run_tells_rows_and_readings_apart() -> None:
    groups = {(g.what, tuple(g.examples)) for g in headline(both()).not_run if "run" in g.what}
    assert groups == {
        ("row not run above smoke", ("mti_net table 2a: LPS",)),
        ("other reading not run above smoke", ("mti_net table 2a: LPS-L",)),
    }
    lost = reading(None)
    lost.not_run = REASON
    assert [g.what for g in headline(session(table(lost))).not_run] == ["other reading not run"]


def test_its_name_says_what_it_is() -> None:
    assert words.mark(reading()) == MARK
    assert words.mark(printed()) == ""
    assert [tables.evidence(r) for r in (reading(), reading(None))] == ["smoke", "not run"]


@pytest.mark.parametrize("tier", ["smoke", "full"])
def test_nothing_printed_stands_in_its_line(tier: str) -> None:
    result = both(tier).tables[0]
    line = tables.printed_figures(result).iloc[1]
    assert str(line.iloc[0]) == f"LPS-L ({MARK})"
    assert set(line.iloc[1:]) == {"–"}
    assert set(tables.comparisons(result)["Row"]) == {"LPS"}


def test_at_full_its_difference_from_the_print_stands_below_that_of_the_row(tmp_path: Path) -> None:
    section = build(both("full"), tmp_path).sections[0]
    row_, other = ([str(v) for v in line] for line in section.measured["full"].itertuples(index=False))
    assert row_[:2] == ["LPS", "10.57 (−3.18, band ± 0.5) FAIL"]
    assert other == [
        f"LPS-L ({MARK})",
        "33.00 ± 0.20 (−0.18 from 33.18)",
        "0.662 (−0.005 from 0.667)",
        "–",
        "−1.50 (+0.21 from - 1.71)",
    ]
    assert [s for s in section.statements if s.startswith(DIFFERENCE)]
    assert headline(both("full")).verdicts == {"FAIL": 1}


def test_on_scenes_no_difference_is_shown(tmp_path: Path) -> None:
    section = build(both(), tmp_path).sections[0]
    other = [str(v) for v in section.measured["smoke"].iloc[1]]
    assert other == [f"LPS-L ({MARK})", "10.57", "0.974", "–", "−9.50"]
    assert not [s for s in section.statements if s.startswith(DIFFERENCE)]


@pytest.mark.parametrize("tier", ["smoke", "full"])
def test_both_forms_of_the_report_say_it(tier: str, tmp_path: Path) -> None:
    write_report(both(tier), tmp_path / "runs", tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text()
    html = (tmp_path / "report" / "report.html").read_text()
    block, _, after = markdown.partition("Printed in the paper:")[2].partition("Measured (")
    assert re.search(r"\| LPS +\|", block)
    assert "LPS-L" not in block
    assert re.search(rf"\| LPS-L \({MARK}\) +\|", after)
    assert f">LPS-L <small>{MARK}</small></th>" in html
    assert ">LPS <small>baseline</small></th>" in html
    assert [text.count("not printed") for text in (markdown, html)] == [2 if tier == "smoke" else 1, 1]


def test_without_a_row_of_the_print_no_block_of_it_is_shown(tmp_path: Path) -> None:
    write_report(session(table(reading())), tmp_path / "runs", tmp_path / "report")
    assert "Printed in the paper:" not in (tmp_path / "report" / "report.md").read_text()


def test_its_bar_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def note(figure: Figure) -> bytes:
        drawn.append(figure)
        return b""

    monkeypatch.setattr(curves, "to_png", note)
    curves.delta_bars("delta", "Table", [printed(), reading()])
    names = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert names == ["LPS", "LPS-L, not printed"]


def test_it_survives_the_file_and_an_unknown_origin_is_told(tmp_path: Path) -> None:
    write_report(both("full"), tmp_path / "runs", tmp_path / "report")
    file = tmp_path / "report" / "report.json"
    assert load_report(file).tables == both("full").tables
    content = json.loads(file.read_text())
    content["tables"][0]["rows"][1]["origin"] = "quoted: elsewhere"
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="unknown value 'quoted: elsewhere'") as caught:
        load_report(file)
    assert str(caught.value.field).endswith("rows[1].origin")
    assert caught.value.mend == "Known: run, quoted, reading, own"
