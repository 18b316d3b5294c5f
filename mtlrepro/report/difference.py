"""A comparison of two nights as a page: what is worse first, then what moved, then what repeats."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd
from tabulate import tabulate

from mtlrepro.report import words
from mtlrepro.report.page import Cell, Frame, Page
from mtlrepro.report.rundir import read_run
from mtlrepro.suite.difference import KINDS, Change, Difference, Move, Pair, Ratio

if TYPE_CHECKING:
    from mtlrepro.report.curves import Line, Panel

WORDS = {
    "worse": "worse",
    "better": "better",
    "within": "within the band",
    "identical": "identical bit by bit",
}
BADGES = {"worse": "FAIL", "better": "IMPROVED", "within": "PASS", "identical": "PASS"}
AMOUNTS = {"train_s": "training time", "step_ms": "time of a step", "vram_bytes": "memory"}
PANELS = 24
"""Most runs whose curves are drawn, the most urgent first."""

BAND = (
    "A figure that differs is within the band if a new draw of seeds would differ as much: the spread of seeds in both "
    "nights, else of this project's recorded results, at 1 % for all figures together that differ. Where no spread is "
    "known it has to be equal but for rounding. Runs are matched by spec, tier and seed."
)


def difference_page(found: Difference) -> Page:
    """The whole comparison."""
    frames = [
        Frame("Not done in both", _moves(found.moves), folded=False),
        Frame("Verdicts that changed", _turns(found), folded=False),
        Frame("Time and memory beyond their limits", _ratios(found, judged=True), folded=False),
        Frame("Figures that differ", _changes(found), folded=False),
        Frame("Time and memory, all", _ratios(found, judged=False)),
        Frame("Identical", _identical(found)),
    ]
    title = f"{found.now} against {found.last}"
    return Page(title, _lead(found), [frame for frame in frames if len(frame.data)], _panels(found))


def difference_text(page: Page) -> str:
    """The page for a terminal, without what is folded."""
    parts = ["\n".join([page.title, "", *page.lead])]
    for frame in page.frames:
        if not frame.folded:
            lines = [[str(value) for value in line] for line in frame.data.itertuples(index=False)]
            table = tabulate(lines, headers=list(frame.data.columns), disable_numparse=True)
            parts.append(f"{frame.title}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _lead(found: Difference) -> list[str]:
    kinds = Counter(pair.kind for pair in found.pairs)
    told = ", ".join(f"{kinds[kind]} {WORDS[kind]}" for kind in KINDS if kinds[kind])
    what = "row" if any(pair.entries[0].folder is None for pair in found.pairs) else "run"
    seeds = sum(len(pair.seeds) for pair in found.pairs)
    apart = f" ({words.plural(seeds, 'run')} with all seeds)" if seeds > len(found.pairs) else ""
    lines = [_verdict(found), f"{words.plural(len(found.pairs), what)} in both{apart}: {told or 'none'}."]
    causes = Counter(cause for pair in found.pairs if pair.kind != "identical" for cause in pair.causes)
    silent = [pair for pair in found.pairs if pair.kind != "identical" and not pair.causes]
    if causes:
        listed = ", ".join(f"{cause} ({count})" for cause, count in causes.most_common())
        lines.append(f"Not the same behind those that differ: {listed}.")
    if silent:
        lines.append(
            f"{words.plural(len(silent), what)} should have repeated bit by bit: nothing behind "
            f"{'it' if len(silent) == 1 else 'them'} is known to differ."
        )
    if found.checks:
        lines.append(f"{words.plural(found.checks, 'check')} in both, {len(found.turns)} with another verdict.")
    for name, text in AMOUNTS.items():
        ratios = [ratio.ratio for pair in found.pairs for ratio in pair.ratios if ratio.name == name]
        if ratios:
            middle = words.number(statistics.median(ratios), 2)
            extent = f"{words.number(min(ratios), 2)} to {words.number(max(ratios), 2)}"
            lines.append(f"{text.capitalize()}: {middle} times the last night's in the median, {extent}.")
    if found.superseded:
        lines.append(f"{words.plural(found.superseded, 'older run')} of the same spec, tier and seed left out.")
    return [*lines, BAND]


def _verdict(found: Difference) -> str:
    """The first sentence."""
    figures = sum(change.kind == "worse" for pair in found.pairs for change in pair.changes)
    amounts = sum(ratio.kind == "worse" for pair in found.pairs for ratio in pair.ratios)
    ends = sum(move.worse for move in found.moves)
    turns = sum(turn.worse for turn in found.turns)
    parts = [
        words.plural(count, one, many)
        for count, one, many in (
            (figures, "figure", ""),
            (amounts, "time or amount of memory", "times or amounts of memory"),
            (ends, "run that failed or did not finish", "runs that failed or did not finish"),
            (turns, "verdict", ""),
        )
        if count
    ]
    if parts:
        return f"Worse: {', '.join(parts)}."
    return "Nothing is worse." if found.changed else "Nothing differs."


def _moves(moves: list[Move]) -> pd.DataFrame:
    lines = [
        [_end(move), move.last or "not there", move.label, move.tier, str(move.seed), move.reason] for move in moves
    ]
    return pd.DataFrame(lines, columns=["Tonight", "Last", "What", "Tier", "Seed", "Why"], dtype=object)


def _end(move: Move) -> Cell:
    if not move.last and move.now == "done":
        return Cell(badges=(("IMPROVED", "new"),))
    return Cell(badges=(("FAIL" if move.worse else "MISSING", move.now or "gone"),))


def _turns(found: Difference) -> pd.DataFrame:
    lines = [
        [turn.last, Cell(badges=((turn.now, turn.now),)), turn.where, f"{turn.kind}: {turn.subject}", turn.reason]
        for turn in found.turns
    ]
    return pd.DataFrame(lines, columns=["Last", "Tonight", "Where", "Check", "Why"], dtype=object)


def _changes(found: Difference) -> pd.DataFrame:
    lines = []
    for pair in found.pairs:
        behind = ", ".join(pair.causes) or "nothing that is known"
        for change in pair.changes:
            if change.kind != "identical":
                lines.append([_badge(change.kind), *_name(pair, found), change.figure, *_figures(change), behind])
        if pair.kind != "identical" and pair.others[0]:
            rest = f"{pair.others[0]} of {pair.others[1]} other figures"
            lines.append([Cell(), *_name(pair, found), rest, *[words.NONE] * 4, behind])
    names = ["", "What", "Tier", "Seeds", "Figure", "Last", "Tonight", "Difference", "Band ±", "Not the same"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _figures(change: Change) -> list[str]:
    band = "unknown" if change.band is None else words.number(change.band)
    both = [words.measured(value, None) for value in (change.last, change.now)]
    return [*both, words.number(change.difference, signed=True), band]


def _ratios(found: Difference, judged: bool) -> pd.DataFrame:
    lines = []
    for pair in found.pairs:
        for ratio in pair.ratios:
            if not judged or ratio.kind != "within":
                mark = _badge(ratio.kind) if ratio.kind != "within" else Cell()
                both = [_amount(ratio, value) for value in (ratio.last, ratio.now)]
                text = words.number(ratio.ratio, 2)
                lines.append([mark, *_name(pair, found), AMOUNTS[ratio.name], *both, text])
    names = ["", "What", "Tier", "Seeds", "Amount", "Last", "Tonight", "Ratio"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _amount(ratio: Ratio, value: float) -> str:
    if ratio.name == "train_s":
        return words.duration(value)
    return f"{words.number(value)} ms" if ratio.name == "step_ms" else f"{words.number(value / 2**30, 2)} GiB"


def _identical(found: Difference) -> pd.DataFrame:
    same = [pair for pair in found.pairs if pair.kind == "identical"]
    lines = [
        [*_name(pair, found), str(len(pair.changes) + pair.others[1]), ", ".join(pair.causes) or words.NONE]
        for pair in same
    ]
    return pd.DataFrame(lines, columns=["What", "Tier", "Seeds", "Figures", "Not the same"], dtype=object)


def _name(pair: Pair, found: Difference) -> list[str]:
    """Label, tier and seeds; the digest too where several specs have one label."""
    twice = sum((other.label, other.tier) == (pair.label, pair.tier) for other in found.pairs) > 1
    label = f"{pair.label} ({pair.entries[1].place[-1][:8]})" if twice else pair.label
    row = pair.entries[1].folder is None
    return [label, pair.tier, words.NONE if row else ", ".join(map(str, sorted(pair.seeds)))]


def _badge(kind: str) -> Cell:
    return Cell(badges=((BADGES[kind], kind),))


def _panels(found: Difference) -> list[Panel]:
    """Loss of the first common seed of runs that differ, both nights in one panel."""
    panels: list[Panel] = []
    for pair in found.pairs:
        if pair.kind == "identical" or len(panels) == PANELS:
            continue
        lines: list[Line] = []
        for style, (name, entry) in enumerate(zip(("last", "tonight"), pair.entries, strict=True)):
            run = read_run(entry.folder) if entry.folder else None
            if run and run.steps:
                lines.append((style, name, run.steps, run.losses))
        if lines:
            label, _, _ = _name(pair, found)
            panels.append((label, f"loss, seed {pair.entries[1].part}", lines))
    return panels
