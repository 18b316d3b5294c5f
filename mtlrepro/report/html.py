"""The HTML report: one file, no network; styles, script and pictures inlined, every text escaped by the template.

All of it can be read without the script, which filters, toggles and slides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from mtlrepro.report import words
from mtlrepro.report.page import Cell, Page

if TYPE_CHECKING:
    from mtlrepro.report.content import Content
    from mtlrepro.report.curves import Line, Panel
    from mtlrepro.report.section import TableSection
    from mtlrepro.report.thumbs import Fitted

HERE = Path(__file__).parent
LIMIT = 14_000_000
"""Most bytes of the page: pictures of predictions that would not fit are left out, and nothing else."""
CELL = 260
"""Bytes of markup that a picture's place in a sheet takes at most."""
OPEN_TABLES = 14
"""Curves and predictions are unfolded in reports of at most so many tables that ran."""
POINTS = 150
"""Most points of a line in a chart of this page."""
_NUMERIC = frozenset("0123456789+−–-±.,% ×")


def render_html(content: Content, limit: int = LIMIT) -> str:
    """The text of `report.html`.

    Args:
        content: what to show.
        limit: most bytes; pictures are left out to keep it, with a sentence that says so.
    """
    from mtlrepro.report.thumbs import files_of, fit

    views = [_view(section) for section in content.sections]
    bare = _render(content, views, None)
    places = sum(1 for s in content.sections for sheet in s.sheets for _ in files_of(sheet))
    room = limit - len(bare.encode()) - CELL * places
    return _render(content, views, fit([s.sheets for s in content.sections], room)) if places else bare


def _render(content: Content, views: list[dict[str, Any]], fitted: Fitted | None) -> str:
    for i, view in enumerate(views):
        view |= _sheets(view["s"], fitted, i)
    ran = sum(section.ran for section in content.sections)
    return _template("template.html").render(
        title=content.title,
        content=content,
        views=views,
        papers=_by_paper(views),
        style=_style("style.css", "report.css"),
        script=Markup((HERE / "report.js").read_text(encoding="utf-8")),
        pictures=fitted.css if fitted else "",
        pic=_pic(fitted),
        roomy=ran <= OPEN_TABLES,
    )


def _by_paper(views: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    papers = dict.fromkeys(view["s"].table.paper for view in views)
    return [(paper, [view for view in views if view["s"].table.paper == paper]) for paper in papers]


def render_page_html(page: Page) -> str:
    """The text of a page of its own."""
    panels = [chart(panel, "step") for panel in page.panels]
    style = _style("style.css", *(["report.css"] if panels else []))
    return _template("page.html").render(title=page.title, page=page, style=style, panels=panels)


def _style(*names: str) -> Markup:
    return Markup("\n".join((HERE / name).read_text(encoding="utf-8") for name in names))


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cells": cells, "slug": words.slug, "mark": words.mark}
    environment.globals |= {"evidence": words.EVIDENCE, "bands": words.BANDS}
    return environment.get_template(name)


def _view(section: TableSection) -> dict[str, Any]:
    """Everything of a section that the template cannot work out by itself, but for its pictures."""
    from mtlrepro.report import deltas, forest
    from mtlrepro.report.gallery import ORDER
    from mtlrepro.report.tiles import row_tokens, tally, tokens

    table = section.table
    weighed: list[Panel] = [
        (row, series, [(ORDER.index(task), task, epochs, values) for task, epochs, values in lines])
        for row, series, lines in section.weighed
    ]
    part = f" [{table.panel}]" if table.panel else ""
    return {
        "s": section,
        "name": f"{table.table}{part}",
        "parts": groups(section),
        "claims": tokens(table.claims),
        "tokens": [row_tokens(row) for row in table.rows],
        "tally": tally(table),
        "forest": forest.forest(table),
        "shown": forest.SHOWN,
        "bars": deltas.bars(table),
        "trade": deltas.trade_offs(table),
        "delta_name": words.delta_name(table),
        "losses": [chart(panel, "step") for panel in section.losses],
        "evaluations": [chart(panel, "step") for panel in section.evaluations],
        "evaluated": _legend([line for _, _, lines in section.evaluations for line in lines]),
        "weights": [chart(panel, "epoch") for panel in weighed],
        "tasks": _legend([line for _, _, lines in weighed for line in lines]),
    }


def chart(panel: Panel, xlabel: str) -> dict[str, Any]:
    """A panel of lines as template data."""
    from mtlrepro.report import svg
    from mtlrepro.report.curves import thin

    title, unit, lines = panel
    drawn = [(style, label, *thin(x, y, POINTS)) for style, label, x, y in lines]
    names = ", ".join(dict.fromkeys(label for _, label, _, _ in lines))
    said = f"{title}{f' ({unit})' if unit else ''} over {xlabel}s: {names}"
    return {"title": title, "unit": unit, "svg": svg.line_chart(said, xlabel, drawn), "legend": _legend(lines)}


def _legend(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Class and label of each line, each once; nothing for a lone one."""
    from mtlrepro.report.svg import style_class

    found = list(dict.fromkeys((style, label) for style, label, _, _ in lines))
    return [(style_class(style), label) for style, label in sorted(found)] if len(found) > 1 else []


def _sheets(section: TableSection, fitted: Fitted | None, place: int) -> dict[str, Any]:
    """The sheets of a section that are shown, and what is said of the others."""
    shown = fitted.shown[place] if fitted else []
    dropped = ", ".join(str(sheet.index) for sheet in fitted.dropped[place]) if fitted else ""
    note = f"Pictures of images {dropped} are left out to keep this file small; see pictures/ of the runs."
    return {
        "sheets": shown,
        "shown_tasks": list(dict.fromkeys(task for sheet in shown for task in sheet.tasks)),
        "shown_rows": list(dict.fromkeys(name for sheet in shown for name, _ in sheet.rows)),
        "gallery_note": " ".join(filter(None, (section.gallery_note, note if dropped else ""))),
    }


def _pic(fitted: Fitted | None) -> Callable[..., Markup | str]:
    """A template function: the picture of a file, with what it shows in words, and ground truth to slide over it."""

    def pic(path: Path | None, said: str = "", truth: Path | None = None) -> Markup | str:
        thumb = fitted.thumbs.of(path) if fitted else None
        if thumb is None:
            return ""
        over = fitted.thumbs.of(truth) if fitted and truth else None
        inner = Markup('<i class="pic {}"></i>').format(over.name) if over else ""
        kind = f"pic over {thumb.name}" if over else f"pic {thumb.name}"
        shape = f"aspect-ratio:{thumb.width}/{thumb.height}"
        return Markup('<span class="{}" role="img" aria-label="{}" style="{}">{}</span>').format(
            kind, escape(said), shape, inner
        )

    return pic


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
