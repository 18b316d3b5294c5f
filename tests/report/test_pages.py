"""The pages of the audit and of the findings: the same frames as Markdown and as one HTML file."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mtlrepro.audit.items import Item
from mtlrepro.expected.findings import Finding
from mtlrepro.report.audit import audit_page, odd_values
from mtlrepro.report.findings import findings_frame, findings_page
from mtlrepro.report.html import render_page_html
from mtlrepro.report.markdown import render_page_markdown


def item(kind: str = "delta", status: str = "follows", reading: str = "", **more: object) -> Item:
    low, high = (None, None) if kind == "claim" or status == "unchecked" else (3.0, 3.5)
    given = {"row": "Ours", "column": "Δ", "printed": "+ 4.00", "off": 0.25 if status in ("open", "explained") else 0.0}
    given |= {"low": low, "high": high, "against": "p/1 [Base]", **more}
    return Item(kind, "p", "1", "g", status=status, reading=reading, **given)  # type: ignore[arg-type]


ITEMS = [
    item(),
    item(status="open", reading="nobody knows", row="A|B <b>"),
    item(status="explained", reading="another divisor"),
    item(status="explained", reading="nobody knows"),
    item(status="open", row="without a word"),
    item(status="unchecked", reading="semseg.miou of this row is not printed"),
    item("repeat", "open", "another divisor", against="p/2 [Same], printed 1.00"),
    item("claim", "open", "a tie", printed="Ours beats Base"),
    item("claim", "follows"),
    item("mean"),
    item("relative", "unchecked", "the row's own amount is not printed"),
]


class Text(HTMLParser):
    """Collects text by tag and the balance of tags."""

    VOID = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(w for w in self.words if w)


def test_counts_are_those_of_the_items() -> None:
    counts = audit_page(ITEMS).frames[0].data
    lines = {line[0]: list(line[1:]) for line in counts.itertuples(index=False)}
    assert list(lines) == [
        "Δ_m or mean of gains",
        "mean over classes",
        "resource relative to the baseline",
        "result printed twice",
        "ordering asserted by the paper",
        "all",
    ]
    assert lines["Δ_m or mean of gains"] == [6, 1, 2, 2, 1]
    assert lines["all"] == [11, 3, 2, 4, 2]
    assert all(line[0] == sum(line[1:]) for line in lines.values())


def test_readings_are_numbered_and_each_is_told_once() -> None:
    frames = {f.title: f.data for f in audit_page(ITEMS).frames}
    assert frames["Readings"].to_numpy().tolist() == [
        ["[1]", "nobody knows"], ["[2]", "another divisor"], ["[3]", "a tie"]
    ]  # fmt: skip
    assert list(frames["Figures that do not follow as printed"].Reading) == ["[1]", "[2]", "[1]", ""]
    assert list(frames["Results printed twice that differ"].Reading) == ["[2]"]
    assert list(frames["Claims that the print does not show"].Reading) == ["[3]"]
    assert list(frames["What cannot be checked"].Why) == [
        "semseg.miou of this row is not printed",
        "the row's own amount is not printed",
    ]


def test_a_figure_that_does_not_follow_is_shown_with_what_the_print_allows() -> None:
    frame = next(f.data for f in audit_page(ITEMS).frames if f.title.startswith("Figures"))
    shown = dict(frame.iloc[1])
    assert shown["Place"] == "p table 1 [g], Ours"
    assert (shown["Printed"], shown["Other prints allow"], shown["Off by"]) == ("+ 4.00", "3.000 to 3.500", "+0.25")
    assert (str(shown["Status"]), shown["Computed from"]) == ("explained", "p/1 [Base]")


@pytest.mark.parametrize("items", [[], [item()], [item(), item("claim")]], ids=len)
def test_frames_that_would_be_empty_are_left_out(items: list[Item]) -> None:
    page = audit_page(items)
    assert [f.title for f in page.frames] == ["Counts"]
    assert "Readings" not in render_page_markdown(page)
    assert "Counts" in Text(render_page_html(page)).text


def test_markdown_is_tables_under_headings_with_every_sign_escaped() -> None:
    text = render_page_markdown(audit_page(ITEMS))
    assert text.startswith("# Do the printed numbers follow from each other?\n\nNothing here was trained or measured.")
    assert text.count("\n## ") == 6
    assert r"A\|B &lt;b&gt;" in text
    assert "<b>" not in text
    assert text.endswith("|\n")


def test_html_is_one_well_formed_file_of_the_same_content() -> None:
    html = render_page_html(audit_page(ITEMS))
    page = Text(html)
    assert "<b>" not in html
    assert not page.tags & {"script", "link", "img"}
    assert all(link.startswith("#") for link in page.links)
    for words in ("A|B <b>", "nobody knows", "Ours beats Base", "3.000 to 3.500", "What cannot be checked", "[3]"):
        assert words in page.text
    assert page.text.startswith("Do the printed numbers follow from each other?")


def test_odd_values_of_a_panel_as_the_report_shows_them() -> None:
    frame = odd_values([i for i in ITEMS if i.status in ("open", "explained")])
    assert len(frame) == 6
    claim = dict(frame.iloc[-1])
    assert (claim["Kind"], claim["Other prints allow"], claim["Off by"]) == ("ordering asserted by the paper", "–", "–")
    assert list(odd_values([]).columns) == list(frame.columns)


FINDING = Finding("p-epochs", ("*",), "Epochs", "80", "Sec. 4", "100 <b>", "", "the paper", "recipe.epochs", "0.3 mIoU")


def test_findings_are_grouped_by_paper_and_name_their_tables() -> None:
    other = Finding("q-size", ("1", "2a"), "Size", "big", "", "small", "x.py", "the code")
    page = findings_page([("p", FINDING), ("q", other), ("p", FINDING)])
    assert [(f.title, len(f.data), f.folded) for f in page.frames] == [("p", 2, False), ("q", 1, False)]
    first, second = (f.data.iloc[0].to_list() for f in page.frames)
    assert first == ["all", "Epochs", "80 (Sec. 4)", "100 <b>", "the paper", "recipe.epochs", "0.3 mIoU"]
    assert second == ["1, 2a", "Size", "big", "small (x.py)", "the code", "", ""]
    html, markdown = render_page_html(page), render_page_markdown(page)
    assert "100 <b>" in Text(html).text
    assert "100 &lt;b&gt;" in markdown
    assert markdown.startswith("# Where papers and their public code disagree\n")


def test_findings_of_a_report_do_not_repeat_their_table() -> None:
    finding = Finding("p-epochs", ("1",), "Epochs", "80", "", "100", "", "the paper")
    assert findings_frame([finding]).to_numpy().tolist() == [["Epochs", "80", "100", "the paper", "", ""]]
    assert "Tables" not in findings_frame([FINDING])
    assert findings_page([]).frames == []
