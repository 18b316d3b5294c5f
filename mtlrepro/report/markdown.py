"""The Markdown report and the CI job summary: the frames of the HTML report, aligned for a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from mtlrepro.report import words
from mtlrepro.report.page import Frame, Page

if TYPE_CHECKING:
    from mtlrepro.report.content import Content
    from mtlrepro.report.figures import Picture
    from mtlrepro.report.section import TableSection


def render_markdown(content: Content) -> str:
    """The text of `report.md`; figures are linked relative to it."""
    lines = _opening(content)
    for section in content.sections:
        lines += _section(section)
    for frame in content.closing:
        lines += [f"## {frame.title}", "", *_frame(frame.data)]
    lines += [f"{words.BANDS} Evidence, in falling strength:", "", *(f"- {text}" for text in words.EVIDENCE.values())]
    return "\n".join(lines).rstrip() + "\n"


def render_summary(content: Content) -> str:
    """The CI job summary: the headline and, per table, printed and measured figures with claims. No pictures."""
    lines = _opening(content)
    for section in content.sections:
        lines += [f"### {escape(section.title)}", "", *_figures(section)]
        lines += [line for frame in section.frames if not frame.folded for line in _frame(frame.data)]
    return "\n".join(lines).rstrip() + "\n\n"


def render_page_markdown(page: Page) -> str:
    """The text of a page of its own."""
    lines = [f"# {escape(page.title)}", ""]
    for text in page.lead:
        lines += [escape(text), ""]
    for frame in page.frames:
        lines += [f"## {escape(frame.title)}", "", *_frame(frame.data)]
    if page.panels:
        lines.append(f"{words.plural(len(page.panels), 'panel')} of training curves in the HTML page.")
    return "\n".join(lines).rstrip() + "\n"


def escape(text: object) -> str:
    """Text that Markdown shows as it is, on one line.

    Example:
        >>> escape("a|b <b>*x*")
        'a\\\\|b &lt;b&gt;\\\\*x\\\\*'
    """
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|*`$\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _opening(content: Content) -> list[str]:
    lines = [f"# {escape(content.title)}", ""]
    first, *rest = content.headline.sentences
    lines += [f"**{escape(first)}**", "", *(f"- {escape(sentence)}" for sentence in rest), ""]
    for frame in content.overview:
        lines += [f"## {frame.title}", "", *_frame(frame.data)]
    return lines


def _section(section: TableSection) -> list[str]:
    lines = [f"## {escape(section.title)}", "", escape(section.table.caption), "", *_figures(section)]
    if not section.ran:  # nothing to read the print against
        return lines
    lines += [f"- {escape(statement)}" for statement in section.statements]
    lines += [""] if section.statements else []
    for frame in section.frames:
        lines += [f"### {frame.title}", "", *_long(frame)]
    for picture, note in ((section.bars, ""), (section.curves, section.curves_note), (section.weights, "")):
        lines += _picture(picture) + ([escape(note), ""] if note else [])
    for picture in section.gallery:
        lines += _picture(picture)
    for note in filter(None, (section.gallery_note, section.left_out)):
        lines += [escape(note), ""]
    return lines


def _figures(section: TableSection) -> list[str]:
    """Printed and measured figures one under the other: side by side they would not fit a terminal."""
    lines = []
    there = [not words.is_unprinted(row) for row in section.table.rows]
    if any(there) and not words.is_own(section.table):
        printed = section.printed.copy()
        printed.insert(1, "Evidence", section.evidence)
        if any(cell.badges for cell in section.checks):
            printed["Checks"] = section.checks
        lines = ["Printed in the paper:", "", *_frame(printed[there])]
    for tier, data in section.measured.items():
        shown = data[[any(str(v) != words.NONE for v in row[1:]) for row in data.itertuples(index=False)]]
        lines += [f"{words.MEASURED[tier].capitalize()}:", "", *_frame(shown)]
    return [*lines, *([f"*{escape(section.footnote)}*", ""] if section.footnote else [])]


def _long(frame: Frame) -> list[str]:
    """A frame that would be long and say little is cut down; the HTML report has all of it.

    Comparisons without a single verdict become one sentence, margins and other checks keep the lines that were judged
    and are not a plain PASS, with a count of the rest.
    """
    data = frame.data
    if frame.title.startswith("Every printed figure") and "Difference" not in data.columns:
        return [f"{words.plural(len(data), 'figure')}, none compared; the HTML report lists them.", ""]
    if frame.title.startswith("Margins"):
        judged = data[[str(verdict) != "" for verdict in data["Verdict"]]] if "Verdict" in data.columns else data[:0]
        return [*_frame(judged), f"{words.plural(len(data), 'figure')} in the HTML report.", ""]
    if frame.title == "Where paper and public code disagree":
        return [f"{words.plural(len(data), 'finding')} in the HTML report and by `mtlrepro findings`.", ""]
    if frame.title == "Other checks":
        odd = data[[str(verdict) != "PASS" for verdict in data["Verdict"]]]
        passed = f"{words.plural(len(data) - len(odd), 'check')} PASS; the HTML report lists them."
        return [*(_frame(odd) if len(odd) else []), passed, ""]
    return _frame(data)


def _frame(data: pd.DataFrame) -> list[str]:
    plain = pd.DataFrame(
        [[escape(v) for v in row] for row in data.itertuples(index=False)], columns=[escape(c) for c in data.columns]
    )
    return [plain.to_markdown(index=False, disable_numparse=True), ""]


def _picture(picture: Picture | None) -> list[str]:
    return [f"![{escape(picture.alt)}](figures/{picture.name}.png)", ""] if picture else []
