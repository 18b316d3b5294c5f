"""Everything a report shows, in order, before any markup: what Markdown and HTML both render."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mtlrepro.report import overview, parts, tables, words
from mtlrepro.report.audit import odd_values
from mtlrepro.report.figures import Picture
from mtlrepro.report.findings import findings_frame
from mtlrepro.report.headline import Headline, headline
from mtlrepro.report.illustrate import illustrate
from mtlrepro.report.ledger import Ledger, ledger, unlike
from mtlrepro.report.page import Frame
from mtlrepro.report.rundir import RunFiles, locate, read_run
from mtlrepro.report.section import TableSection
from mtlrepro.report.tiles import Tile, tiles
from mtlrepro.suite.results import SessionResult, TableResult


@dataclass
class Content:
    """The whole report. `runs`, one of `closing`, is a table in Markdown; HTML has the ledger in its place."""

    title: str
    headline: Headline
    tiles: list[Tile]
    overview: list[Frame]
    sections: list[TableSection]
    closing: list[Frame]
    runs: Frame
    ledger: Ledger

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
    sections = [_section(table, i, files) for i, table in enumerate(ordered)]
    illustrate(sections, runs, files)
    anchors = {id(section.table): section.slug for section in sections}
    book = ledger(result, files, {i: anchors[id(table)] for i, table in enumerate(result.tables)})
    listed = Frame("Runs", overview.runs(result, files))
    closing = [
        Frame("Resources over all rows", overview.all_resources(result), folded=False),
        listed,
        Frame("Sessions", parts.frame(result), folded=False),
        Frame("Environment", overview.environment(result), folded=False),
        Frame("How to read this", overview.legend(), folded=False),
    ]
    papers = ", ".join(dict.fromkeys(table.paper for table in result.tables))
    if result.tables and all(words.is_own(table) for table in result.tables):
        title = f"Comparison on {', '.join(dict.fromkeys(table.dataset for table in result.tables))}"
    else:
        title = f"Reproduction report: {papers or 'no table'}"
    return Content(title, opening, tiles(result), _filled(first), sections, _filled(closing), listed, book)


def _filled(frames: list[Frame]) -> list[Frame]:
    return [f for f in frames if len(f.data)]


def _section(table: TableResult, number: int, files: dict[str, RunFiles]) -> TableSection:
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
        statements=[*_statements(table), *unlike(table, files)],
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
    if any(row.beside for row in table.rows if words.is_users(row)):
        lines.append(
            "The difference of a user's own row is that from the print of the row in whose place it stands, and no "
            "verdict follows from it."
        )
    if any(row.beside for row in table.rows if words.is_reading(row)):
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
