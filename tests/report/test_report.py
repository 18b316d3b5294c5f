"""The report: honest first lines, self-contained HTML, readable Markdown, JSON that survives a round trip."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_fakes import REASON, full_session, own_session, row, session, smoke_checks, smoke_session, table, write_run

from mtlrepro.errors import StoreError
from mtlrepro.report import curves, load_report, write_report
from mtlrepro.report.headline import DISCLAIMER, headline
from mtlrepro.report.jsonfile import parse_report
from mtlrepro.report.schema import render_schema
from mtlrepro.suite.results import VERDICTS, Check, SessionResult, Value

CONFIRMING = re.compile(r"\b(confirms?|confirmed|reproduced|reproduces|refutes?|refuted)\b", re.IGNORECASE)


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def written(result: SessionResult, folder: Path) -> tuple[str, str]:
    write_report(result, folder / "runs", folder / "report")
    return (folder / "report" / "report.md").read_text(), (folder / "report" / "report.html").read_text()


class Page(HTMLParser):
    """Collects text, links and the balance of tags."""

    VOID = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids |= {v or "" for k, v in attrs if k == "id"}
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_smoke_report_says_first_that_it_confirms_nothing(tmp_path: Path) -> None:
    markdown, html = written(smoke_session(), tmp_path)
    assert headline(smoke_session()).sentences[0].startswith(DISCLAIMER)
    assert markdown.splitlines()[2].startswith(f"**{DISCLAIMER}")
    assert "2 rows in 1 table: 0 at full, 2 at smoke" in markdown
    assert "8 checks" not in DISCLAIMER
    for text in (markdown, " ".join(Page(html).words)):
        assert not CONFIRMING.search(text.replace(DISCLAIMER, ""))
        assert "measured (smoke, synthetic scenes)" in text.lower()
        assert REASON.split(":")[0] in text
    assert "not found: no folder of datasets is known" in markdown


def test_no_band_and_no_verdict_beside_a_smoke_figure(tmp_path: Path) -> None:
    checks = [Check("printed", "seg", "FAIL", "smoke", "33.18", 10.6, -22.6, 0.5, "tolerance", 1, reason="far off")]
    markdown, html = written(session(table(row("MTL", checks=checks))), tmp_path)
    assert "22.6" not in markdown
    assert "FAIL" not in markdown.split("How to read this")[0]
    assert ">FAIL<" not in html.split("How to read this</h2>")[0]


def test_every_verdict_is_counted_and_explained(tmp_path: Path) -> None:
    markdown, html = written(full_session(), tmp_path)
    for verdict in VERDICTS:
        assert verdict in markdown
        assert f'class="badge {verdict.lower()}"' in html
    assert "printed figures compared at tier full" in headline(full_session()).sentences[0]
    assert headline(full_session()).verdicts == dict.fromkeys(VERDICTS, 2)
    assert "why XFAIL" in markdown


def test_a_report_on_data_read_otherwise_says_that_it_confirms_nothing(tmp_path: Path) -> None:
    varied, result = "policy=disjoint in place of released", full_session()
    why = f"run with {varied}: another experiment than the printed one"
    rows = result.tables[0].rows
    for one in rows:
        one.varied, one.delta = varied, {"own": -9.5, "paper": -1.71}
        one.checks = [Check("printed", "seg", "SKIPPED", None, "33.18", 33.0, reason=why)]
    markdown, _ = written(result, tmp_path)
    assert markdown.splitlines()[2].startswith(
        f"**{DISCLAIMER}: what ran at tier full was run with {varied}, which is another experiment."
    )
    assert why in markdown
    assert not CONFIRMING.search(markdown.replace(DISCLAIMER, ""))
    rows[1].varied = ""
    rows[1].checks = full_session().tables[0].rows[1].checks
    assert headline(result).sentences[0] == (
        "4 printed figures compared at tier full: 1 PASS, 1 XFAIL, 1 IMPROVED, 1 FAIL; not compared: rows that "
        f"were run with {varied}."
    )


@pytest.mark.parametrize(
    ("tier", "varied", "title"),
    [
        ("full", "", "measured"),
        ("full", "classes=8 in place of 14", "measured at full: data read otherwise, not comparable"),
        ("smoke", "", "measured at smoke: synthetic scenes, not comparable"),
    ],
)
def test_bars_share_an_axis_with_the_print_for_the_paper_s_runs_alone(
    monkeypatch: pytest.MonkeyPatch, tier: str, varied: str, title: str
) -> None:
    drawn: list[Figure] = []

    def note(figure: Figure) -> bytes:
        drawn.append(figure)
        return b""

    monkeypatch.setattr(curves, "to_png", note)
    one = row("MTL", tier)
    one.varied = varied
    curves.delta_bars("delta", "Table", [one])
    paper, own = drawn[0].axes
    assert own.get_title(loc="left") == title
    assert (paper.get_xlim() == own.get_xlim()) == (title == "measured")


def test_html_is_one_well_formed_file_without_network(tmp_path: Path) -> None:
    result = smoke_session()
    result.runs = [write_run(tmp_path / "runs", "a" * 16)]
    result.tables[0].rows[1].runs = ["a" * 16]
    _, html = written(result, tmp_path)
    page = Page(html)
    assert page.open == []
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= page.ids
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in html
    assert not re.search(r"https?:|url\((?!data:image/webp)|\beval\(|fetch\(|\bimport\b", html)
    assert "Single <b>task</b>" in page.words
    assert "<b>" not in html


def test_curves_and_pictures_of_runs_are_shown_and_their_absence_is_said(tmp_path: Path) -> None:
    result = smoke_session()
    result.runs = [write_run(tmp_path / "runs", "a" * 16)]
    result.tables[0].rows[1].runs = ["a" * 16]
    markdown, _ = written(result, tmp_path)
    pictures = set(re.findall(r"\((figures/[^)]+\.png)\)", markdown))
    assert any("curves" in p for p in pictures)
    assert any("image-0" in p for p in pictures)
    assert all((tmp_path / "report" / p).exists() for p in pictures)

    gone = dataclasses.replace(result.runs[0], key="b" * 16, directory=str(tmp_path / "nowhere"))
    result.runs, result.tables[0].rows[1].runs = [gone], ["b" * 16]
    markdown, _ = written(result, tmp_path / "second")
    assert "No training curve" in markdown
    assert "No pictures" in markdown


def test_figures_have_the_printed_digits_and_counts_one_more(tmp_path: Path) -> None:
    markdown, _ = written(smoke_session(), tmp_path)
    assert "10.57" in markdown
    assert "0.974" in markdown
    assert "7.88" in markdown


def test_gain_over_the_trivial_predictor_is_positive_when_better(tmp_path: Path) -> None:
    _, html = written(smoke_session(), tmp_path)
    text = re.sub(r"<[^>]+>", "|", html)
    for metric in ("semseg.miou", "depth.rmse", "depth.abs_err"):
        line = text[text.index(f"|{metric}|") :][:400]
        assert re.search(r"\+\d", line), metric


def test_a_comparison_on_ones_own_dataset_speaks_of_no_paper(tmp_path: Path) -> None:
    markdown, html = written(own_session(), tmp_path)
    assert "Comparison on street" in markdown
    assert "no paper's number is involved" in markdown.splitlines()[2]
    for text in (markdown, " ".join(Page(html).words)):
        assert DISCLAIMER not in text
        assert "rinted in the paper" not in text.split("How to read this")[0]
        assert "10.57" in text


def test_json_survives_a_round_trip_with_nan(tmp_path: Path) -> None:
    result = full_session()
    result.tables[0].rows[0].measured["seg"] = Value(math.nan, 3, math.inf)
    write_report(result, tmp_path / "runs", tmp_path)
    text = (tmp_path / "report.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = load_report(tmp_path / "report.json")
    assert math.isnan(again.tables[0].rows[0].measured["seg"].mean)
    again.tables[0].rows[0].measured["seg"] = result.tables[0].rows[0].measured["seg"] = Value(0.0)
    assert again == result
    assert parse_report(smoke_session().to_json()) == smoke_session()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(schema_version=99), ["schema version 99", "schema_version"]),
        (lambda v: v.update(tabels=[]), ["unknown key 'tabels'", "tables"]),
        (lambda v: v.pop("runs"), ["missing key 'runs'"]),
        (lambda v: v["tables"][0]["rows"][0]["checks"][0].update(verdict="GREEN"), ["GREEN", "verdict", "PASS"]),
        (lambda v: v.update(seconds="long"), ["expected a number", "seconds"]),
    ],
)
def test_a_wrong_report_is_refused_with_file_and_field(change, words: list[str], tmp_path: Path) -> None:
    value = json.loads(json.dumps(smoke_session().to_json()))
    change(value)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError) as caught:
        load_report(path)
    for word in [*words, str(path)]:
        assert word in str(caught.value)
    path.write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        load_report(path)


def test_the_job_summary_is_appended_and_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    rows = [row(f"{'long name ' * 20}{i}", checks=smoke_checks()) for i in range(30)]
    many = session(table(*rows), table(*rows))
    write_report(smoke_session(), tmp_path, tmp_path / "a")
    text = summary.read_text()
    assert text.startswith("before\n")
    assert DISCLAIMER in text
    summary.write_text("x" * (1024 * 1024 - 9_000))  # another step of the job wrote most of it
    write_report(many, tmp_path, tmp_path / "b")
    assert summary.stat().st_size <= 1024 * 1024


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="file"):
        write_report(smoke_session(), tmp_path, blocked)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        write_report(smoke_session(), tmp_path, tmp_path / "report")
    assert not [p for p in (tmp_path / "report").rglob("*") if p.is_file()]


def test_the_schema_page_is_in_step() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "report-schema.md"
    assert page.read_text() == render_schema(), "run python -m mtlrepro.report.schema > docs/report-schema.md"
    for field in dataclasses.fields(Check):
        assert f"| `{field.name}` |" in page.read_text()
