"""The HTML report: one file, no script, no network; styles and pictures inlined, every text escaped by the template."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from mtlrepro.report import words
from mtlrepro.report.page import Cell, Page

if TYPE_CHECKING:
    from mtlrepro.report.content import Content, TableSection
    from mtlrepro.report.figures import Picture

HERE = Path(__file__).parent
_NUMERIC = frozenset("0123456789+−–-±.,% ×")


def render_html(content: Content) -> str:
    """The text of `report.html`."""
    return _template("template.html").render(title=content.title, content=content, style=_style(), groups=groups)


def render_page_html(page: Page) -> str:
    """The text of a page of its own."""
    return _template("page.html").render(title=page.title, page=page, style=_style())


def _style() -> str:
    return (HERE / "style.css").read_text(encoding="utf-8")


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cells": cells, "data_uri": data_uri, "slug": words.slug, "mark": words.mark}
    environment.globals |= {"measured_label": words.MEASURED, "evidence": words.EVIDENCE, "bands": words.BANDS}
    return environment.get_template(name)


def cells(data: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """A frame's lines as template cells."""
    return [[cell(value) for value in row] for row in data.itertuples(index=False)]


def cell(value: Any) -> dict[str, Any]:
    """Text, second line, badges and alignment of one value."""
    item = value if isinstance(value, Cell) else Cell(str(value))
    numeric = item.text == words.NONE or (bool(item.text) and set(item.text) <= _NUMERIC)
    return {"text": item.text, "detail": item.detail, "badges": item.badges, "numeric": numeric}


def groups(section: TableSection) -> list[tuple[str, str, list[str], list[list[dict[str, Any]]]]]:
    """Column groups of the main table: (css class, heading, column names, lines), what the paper prints first."""
    frames = [] if words.is_own(section.table) else [("printed", "printed in the paper", section.printed)]
    frames += [(f"measured {tier}", words.MEASURED[tier], data) for tier, data in section.measured.items()]
    blank = {"text": "", "detail": "", "badges": (), "numeric": True}
    found = []
    for kind, heading, data in frames:
        body = data.iloc[:, 1:]
        used = [
            i for i in range(body.shape[1]) if kind == "printed" or any(str(v) != words.NONE for v in body.iloc[:, i])
        ]
        lines = [[blank if c["text"] == words.NONE else c for c in row] for row in cells(body.iloc[:, used])]
        found.append((kind, heading, [str(body.columns[i]) for i in used], lines))
    return found


def data_uri(picture: Picture) -> str:
    """A picture as the source of an `<img>`."""
    return "data:image/png;base64," + base64.b64encode(picture.png).decode()
