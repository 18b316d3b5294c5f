"""Everything a report shows, in order, before any markup: what Markdown and HTML both render."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mtlrepro.report import overview, tables, words
from mtlrepro.report.audit import odd_values
from mtlrepro.report.curves import curves, delta_bars
from mtlrepro.report.figures import Picture
from mtlrepro.report.findings import findings_frame
from mtlrepro.report.gallery import indices, sheet
from mtlrepro.report.headline import Headline, headline
from mtlrepro.report.page import Cell, Frame
from mtlrepro.report.rundir import RunFiles, locate, read_run
from mtlrepro.report.weights import weights
from mtlrepro.suite.results import RowResult, RunInfo, SessionResult, TableResult

GALLERY_BYTES = 3_600_000
"""Most bytes of prediction sheets; further sheets are named, not shown (a mail or a forge page stays openable)."""
WEIGHED = (
    "A loss (weighed) is what a weighting of the tasks minimises: it jumps where the weights change, and losses of "
    "different weightings cannot be compared."
)
THUMBNAILS = (160, 128, 104)
"""Thumbnail widths in pixels; the first for which the report's thumbnails cover at most `GALLERY_PIXELS`."""
GALLERY_PIXELS = 12_000_000


@dataclass
class TableSection:
    """One table of a paper: figures first, then everything behind them."""

    slug: str
    title: str
    table: TableResult
    printed: pd.DataFrame
    measured: dict[str, pd.DataFrame]
    evidence: list[str]
    checks: list[Cell]
    frames: list[Frame]
    statements: list[str]
    footnote: str
    bars: Picture | None = None
    curves: Picture | None = None
    weights: Picture | None = None
    gallery: list[Picture] = field(default_factory=list)
    curves_note: str = ""
    gallery_note: str = ""


@dataclass
class Content:
    """The whole report."""

    title: str
    headline: Headline
    overview: list[Frame]
    sections: list[TableSection]
    closing: list[Frame]

    def pictures(self) -> list[Picture]:
        """All figures, in order."""
        return [p for s in self.sections for p in (s.bars, s.curves, s.weights, *s.gallery) if p is not None]


def build(result: SessionResult, runs_root: Path) -> Content:
    """Read the run directories and lay out the report."""
    runs = {run.key: run for run in result.runs}
    files = {run.key: read_run(locate(runs_root, run.key, run.directory)) for run in result.runs}
    opening = headline(result)
    first = [
        Frame("Checks by kind and tier", overview.matrix(opening), folded=False),
        Frame("Outside the band, failed or broken", overview.attention(opening), folded=False),
        Frame("What was not run, and why", overview.not_run(opening), folded=False),
    ]
    # what was run comes first; tables that nobody could run here keep their order behind it
    ordered = sorted(result.tables, key=lambda t: not any(row.tier or row.measured for row in t.rows))
    sections = [_section(table, i) for i, table in enumerate(ordered)]
    _figures(sections, runs, files)
    closing = [
        Frame("Resources over all rows", overview.all_resources(result), folded=False),
        Frame("Runs", overview.runs(result, files)),
        Frame("Environment", overview.environment(result), folded=False),
        Frame("How to read this", overview.legend(), folded=False),
    ]
    papers = ", ".join(dict.fromkeys(table.paper for table in result.tables))
    if result.tables and all(words.is_own(table) for table in result.tables):
        title = f"Comparison on {', '.join(dict.fromkeys(table.dataset for table in result.tables))}"
    else:
        title = f"Reproduction report: {papers or 'no table'}"
    return Content(title, opening, _filled(first), sections, _filled(closing))


def _filled(frames: list[Frame]) -> list[Frame]:
    return [f for f in frames if len(f.data)]


def _section(table: TableResult, number: int) -> TableSection:
    frames = [
        Frame("Margins over the best constant predictor", tables.margins(table)),
        Frame("Other checks", tables.other_checks(table)),
    ]
    if words.is_own(table):
        frames.append(Frame("Resources", tables.resources(table)))
    else:
        frames = [
            Frame("Claims of the paper", tables.claims(table), folded=False),
            Frame("Every printed figure: difference, band, verdict", tables.comparisons(table)),
            Frame("Δ_m: printed and recomputed", tables.deltas(table)),
            Frame("After the last step (in brackets: at the selected evaluation)", tables.after_last_step(table)),
            Frame("Printed values that do not follow from the rest of the print", odd_values(table.audit)),
            Frame("Where paper and public code disagree", findings_frame(table.findings)),
            *frames,
            Frame("Resources of the paper's exact networks", tables.resources(table)),
        ]
    synthetic = [t for t in words.SYNTHETIC if any(row.tier == t for row in table.rows)]
    footnote = ""
    if synthetic:
        footnote = (
            f"Figures measured at {' and '.join(synthetic)} come from synthetic scenes. They show that a method trains "
            f"from end to end{'' if synthetic == ['rehearsal'] else ' and beats a constant predictor'}; they say "
            "nothing about the printed figures, so no difference, band or verdict is given for them."
        )
        if any(c.kind == "resource" and c.tier in synthetic for row in table.rows for c in row.checks):
            footnote += " Time and memory do not depend on the scenes: they are held to their ratios between rows."
    return TableSection(
        slug=f"t{number}-{words.slug(words.title(table))}",
        title=f"{words.title(table)} ({table.dataset})",
        table=table,
        printed=tables.printed_figures(table),
        measured=tables.measured_figures(table),
        evidence=[tables.evidence(row) for row in table.rows],
        checks=[tables.row_checks(row) for row in table.rows],
        frames=_filled(frames),
        statements=_statements(table),
        footnote=footnote,
    )


def _statements(table: TableResult) -> list[str]:
    """Statistics of the table, reasons of registered deviations, what quoted rows and differences are, its notes."""
    lines = []
    checks = [*(c for row in table.rows for c in row.checks), *table.claims]
    if table.chance_failures:
        spread = [c for c in checks if c.p is not None]
        outside = sum(c.verdict not in ("PASS", "XFAIL") for c in spread)
        text = (
            f"{words.plural(len(spread), 'check')} bound by spread: {outside} outside the band, "
            f"{table.chance_failures:.2g} to expect by chance"
        )
        adjusted = [c.holm for c in spread if c.holm]
        after = sum(v not in ("PASS", "XFAIL") for v in adjusted)
        lines.append(f"{text}; {after} after Holm's adjustment over the table." if adjusted else f"{text}.")
    for row in table.rows:
        lines += [
            f"XFAIL, {row.name}, {c.subject}: {c.reason or 'no reason was recorded'}"
            for c in row.checks
            if words.verdict(c) == "XFAIL"
        ]
    if any(row.beside for row in table.rows):
        beside = (
            "The difference of another reading is that from the print of the row it reads otherwise: it shows which "
        )
        lines.append(f"{beside}reading is nearer, and no verdict follows from it.")
    return lines + _sources(table) + table.notes


def _sources(table: TableResult) -> list[str]:
    """Where quoted rows are from, and which of them ran here all the same."""
    sources: dict[str, list[str]] = {}
    for row in table.rows:
        if words.is_copied(row):
            sources.setdefault(row.source, []).append(row.name)
    lines = [f"Quoted from {source}: {'; '.join(names)}." for source, names in sources.items()]
    both = [row.name for row in table.rows if words.is_copied(row) and row.tier is not None]
    text = "Quoted in print and run here, which stands beside the print and is not held to it"
    return [*lines, f"{text}: {'; '.join(both)}."] if both else lines


def _figures(sections: list[TableSection], runs: dict[str, RunInfo], files: dict[str, RunFiles]) -> None:
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
        section.curves = curves(
            f"{section.slug}-curves", f"Training, {name}{_tier_mark(rows)}", fresh, section.table.columns, runs, files
        )
        section.weights = weights(f"{section.slug}-weights", f"Task weights, {name}{_tier_mark(rows)}", rows, files)
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
    dropped = []
    found = indices(rows, files)
    for index in found:
        picture = sheet(f"{section.slug}-image-{index}", f"{name}{_tier_mark(rows)}", index, rows, files, width)
        if picture and len(picture.png) <= room:
            section.gallery.append(picture)
            room -= len(picture.png)
        elif picture:
            dropped.append(str(index))
    if section.gallery:
        galleries[shown] = name
    elif not dropped:
        section.gallery_note = "No pictures: the runs left none for these rows."
    if dropped:
        section.gallery_note = (
            f"Images {', '.join(dropped)} are left out to keep the report small; see pictures/ of the runs."
        )
    return room


def _tier_mark(rows: list[RowResult], delta: str = "") -> str:
    tiers = [t for t in words.SYNTHETIC if any(row.tier == t and (not delta or delta in row.delta) for row in rows)]
    return f" ({', '.join(tiers)}: synthetic scenes)" if tiers else ""
