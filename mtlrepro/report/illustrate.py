"""Fills a report's sections with what runs left: curves, task weights, predictions, as data and as pictures."""

from __future__ import annotations

from mtlrepro.report import words
from mtlrepro.report.curves import curve_panels, curves, delta_bars
from mtlrepro.report.gallery import indices, picture, sheet
from mtlrepro.report.rundir import RunFiles
from mtlrepro.report.section import TableSection
from mtlrepro.report.weights import weight_panels, weights
from mtlrepro.suite.results import RowResult, RunInfo

GALLERY_BYTES = 3_600_000
"""Most bytes of prediction sheets; further sheets are named, not shown (a mail or a forge page stays openable)."""
WEIGHED = (
    "A loss (weighed) is what a weighting of the tasks minimises: it jumps where the weights change, and losses of "
    "different weightings cannot be compared."
)
THUMBNAILS = (160, 128, 104)
"""Thumbnail widths in pixels; the first for which the report's thumbnails cover at most `GALLERY_PIXELS`."""
GALLERY_PIXELS = 12_000_000


def illustrate(sections: list[TableSection], runs: dict[str, RunInfo], files: dict[str, RunFiles]) -> None:
    """Draw each run once: a row whose runs (and view) an earlier table showed is referred to there.

    Task weights alone are drawn in every table of a run, which may be the one that they are compared in.
    """
    drawn: dict[tuple, str] = {}
    galleries: dict[frozenset, str] = {}
    width = _thumbnail(sections, files)
    room = GALLERY_BYTES
    for section in sections:
        rows, name = section.table.rows, words.title(section.table)
        if any("own" in row.delta for row in rows):
            title = f"{words.delta_name(section.table)}, {name}{_tier_mark(rows, 'own')}"
            section.bars = delta_bars(f"{section.slug}-delta", title, rows)
        fresh = _fresh(section, drawn)
        columns = section.table.columns
        section.losses, section.evaluations = curve_panels(fresh, columns, runs, files)
        section.curves = curves(
            f"{section.slug}-curves", f"Training, {name}{_tier_mark(rows)}", fresh, columns, runs, files
        )
        section.weighed = weight_panels(rows, files)
        drawing = f"Task weights, {name}{_tier_mark(rows)}"
        section.weights = weights(f"{section.slug}-weights", drawing, rows, files)
        if any(row.runs for row in fresh) and section.curves is None:
            _note(section, "No training curve: the runs left no training lines.")
        if section.curves and any(files[key].weighed for row in fresh for key in row.runs if key in files):
            _note(section, WEIGHED)
        room = _gallery(section, files, galleries, width, room)


def _note(section: TableSection, sentence: str) -> None:
    section.curves_note = f"{section.curves_note} {sentence}".strip()


def _fresh(section: TableSection, drawn: dict[tuple, str]) -> list[RowResult]:
    """Rows whose curves no earlier figure shows; the others are listed in the section's note."""
    fresh, before = [], []
    for row in section.table.rows:
        key = tuple(row.runs)
        if key in drawn:
            before.append(f"{row.name} → {drawn[key]}")
        elif key:
            fresh.append(row)
            drawn[key] = f"{words.title(section.table)}: {row.name}"
    if before:
        section.curves_note = f"Same runs as above: {'; '.join(before)}."
    return fresh


def _thumbnail(sections: list[TableSection], files: dict[str, RunFiles]) -> int:
    """Width that keeps all sheets together within `GALLERY_PIXELS`, counting each picture file once."""
    cells = len(
        {
            (row.view, key, name)
            for s in sections
            for row in s.table.rows
            for key in row.runs
            if key in files
            for name in files[key].pictures
        }
    )
    return next((w for w in THUMBNAILS if cells * w * w * 0.75 <= GALLERY_PIXELS), THUMBNAILS[-1])


def _gallery(
    section: TableSection, files: dict[str, RunFiles], galleries: dict[frozenset, str], width: int, room: int
) -> int:
    """Add the section's sheets while there is room; returns the bytes left."""
    rows = [row for row in section.table.rows if row.runs]
    shown = frozenset((key, row.view) for row in rows for key in row.runs)
    name = words.title(section.table)
    if not shown:
        return room
    if before := next((where for other, where in galleries.items() if shown <= other), None):
        section.gallery_note = f"The same predictions as under {before}."
        return room
    section.sheets = [one for index in indices(rows, files) if (one := sheet(index, rows, files))]
    if not section.sheets:
        section.gallery_note = "No pictures: the runs left none for these rows."
        return room
    galleries[shown] = name
    dropped = []
    for one in section.sheets:
        drawn = picture(f"{section.slug}-image-{one.index}", f"{name}{_tier_mark(rows)}", one, width)
        if len(drawn.png) <= room:
            section.gallery.append(drawn)
            room -= len(drawn.png)
        else:
            dropped.append(str(one.index))
    if dropped:
        section.left_out = (
            f"Images {', '.join(dropped)} are left out to keep the report small; see pictures/ of the runs."
        )
    return room


def _tier_mark(rows: list[RowResult], delta: str = "") -> str:
    tiers = [t for t in words.SYNTHETIC if any(row.tier == t and (not delta or delta in row.delta) for row in rows)]
    return f" ({', '.join(tiers)}: synthetic scenes)" if tiers else ""
