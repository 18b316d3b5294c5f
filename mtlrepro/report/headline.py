"""The first lines of every report: what ran at which tier, how it ended, and what did not run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mtlrepro.report import parts, words
from mtlrepro.suite.results import VERDICTS, Check, RowResult, SessionResult

DISCLAIMER = "No printed number of a paper was confirmed or refuted by this report"


@dataclass
class Group:
    """Equal reasons, counted: `what` happened to `count` subjects because of `reason`, for example `examples`."""

    what: str
    reason: str
    examples: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many subjects share the reason."""
        return len(self.examples)


@dataclass
class Headline:
    """The opening.

    Attributes:
        sentences: in order; the first says what the report can say about the papers.
        verdicts: verdict -> number of checks, all that occur, in the order of `VERDICTS`.
        matrix: (kind, tier) -> verdict -> count, in reading order.
        not_run: grouped reasons.
        attention: (where, check) of everything outside its band, failed or broken, worst first.
    """

    sentences: list[str]
    verdicts: dict[str, int]
    matrix: dict[tuple[str, str], dict[str, int]]
    not_run: list[Group]
    attention: list[tuple[str, Check]]


def headline(result: SessionResult) -> Headline:
    """The opening of a report."""
    checks = result.checks()
    rows = [row for table in result.tables for row in table.rows]
    counts = Counter(words.verdict(c) for c in checks)
    verdicts = {v: counts[v] for v in VERDICTS if counts[v]}
    return Headline(
        [
            _statement(result, rows, checks),
            _tiers(result, rows),
            _verdicts(checks, verdicts),
            _work(result),
            *parts.sentences(result),
        ],
        verdicts,
        _matrix(checks),
        _not_run(result),
        _attention(result),
    )


def _statement(result: SessionResult, rows: list[RowResult], checks: list[Check]) -> str:
    if result.tables and all(words.is_own(table) for table in result.tables):
        datasets = ", ".join(dict.fromkeys(table.dataset for table in result.tables))
        text = f"This report compares methods on the dataset {datasets}; no paper's number is involved."
        return " ".join([text, *(note for table in result.tables for note in table.notes)])
    full = [row for row in rows if row.tier == "full"]
    varied = "; ".join(dict.fromkeys(row.varied for row in full if row.varied))
    if not all(row.varied for row in full):
        printed = [c for c in checks if c.kind == "printed" and c.tier == "full" and c.verdict in words.DECIDED]
        claims = [c for c in checks if c.kind == "claim" and words.compared(c) and c.verdict in words.DECIDED]
        text = f"{words.plural(len(printed), 'printed figure')} compared at tier full: {_tally(printed)}"
        text += f"; {words.plural(len(claims), 'claim')} checked: {_tally(claims)}" if claims else ""
        return f"{text}; not compared: rows that were run with {varied}." if varied else f"{text}."
    resources = [c for c in checks if c.kind == "resource" and c.verdict in words.DECIDED]
    counted = [c for c in resources if c.tier == "conformance"]
    timed = [c for c in resources if c.tier != "conformance"]
    apart = []
    if counted:
        what = words.plural(len(counted), "parameter or MAC count")
        apart.append(f"{what} that need no training ({_tally(counted)})")
    if timed:
        what = words.plural(len(timed), "figure")
        apart.append(f"{what} of time and memory that steps on synthetic scenes give as ratios ({_tally(timed)})")
    besides = f", apart from {' and '.join(apart)}" if apart else ""
    why = "nothing ran at tier full (the paper's dataset, model and recipe)"
    why = f"what ran at tier full was run with {varied}, which is another experiment" if varied else why
    return f"{DISCLAIMER}{besides}: {why}."


def _tally(checks: list[Check]) -> str:
    counts = Counter(words.verdict(c) for c in checks)
    return ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v]) or "none"


def _tiers(result: SessionResult, rows: list[RowResult]) -> str:
    printed = [row for row in rows if not words.is_unprinted(row)]
    readings = [row for row in rows if words.is_reading(row)]
    own = [row for row in printed if not words.is_quoted(row)]
    parts = _served(own)
    if len(printed) > len(own):
        parts.append(f"{len(printed) - len(own)} quoted by the authors from other work and not run")
    tables = {(table.paper, table.table) for table in result.tables}
    text = f"{words.plural(len(printed), 'row')} in {words.plural(len(tables), 'table')}: {', '.join(parts)}."
    both = sum(words.is_copied(row) and row.tier is not None for row in printed)
    are = f"{both} {'is' if both == 1 else 'are'}"
    text += f" Of those that ran, {are} quoted in print: no run is held to those figures." if both else ""
    if users := [row for row in rows if words.is_users(row)]:
        what = f"{words.plural(len(users), 'row')} of the user's own, which no paper prints"
        text += f" Besides, {what}: {', '.join(_served(users))}."
    if not readings:
        return text
    what = f"{words.plural(len(readings), 'other reading')} of printed rows"
    counted = [row for row in readings if words.is_counted(row)]
    trained = [row for row in readings if not words.is_counted(row)]
    before = f"{text} Besides," if printed else "No printed row was selected;"
    if not (printed or trained):
        return f"{before} {what} {'was' if len(counted) == 1 else 'were'} {words.ONLY_COUNTED}."
    ends = [*(_served(trained) if trained else []), *([f"{len(counted)} {words.ONLY_COUNTED}"] if counted else [])]
    return f"{before} {what}, which no paper prints: {', '.join(ends)}."


def _served(rows: list[RowResult]) -> list[str]:
    """How many rows each tier served; that none was at full is said, too."""
    counts = Counter(row.tier for row in rows)
    notes = {
        "smoke": " (small twins on synthetic scenes)",
        "bench": " (synthetic scenes)",
        "rehearsal": " (small twins on synthetic copies of the datasets)",
        "conformance": " (nothing trained)",
    }
    parts = [
        f"{counts[tier]} at {tier}{notes.get(tier, '')}"
        for tier in words.EVIDENCE
        if counts[tier] or (tier == "full" and not counts["own"])
    ]
    return [*parts, f"{counts[None]} without a result"] if counts[None] else parts


def _verdicts(checks: list[Check], verdicts: dict[str, int]) -> str:
    held_back = [c for c in checks if words.verdict(c) == "SKIPPED" and not words.compared(c)]
    text = f"{words.plural(len(checks), 'check')}: {', '.join(f'{n} {v}' for v, n in verdicts.items()) or 'none'}"
    if held_back:
        text += f"; of the SKIPPED, {len(held_back)} are not compared because their figure comes from synthetic scenes"
    return f"{text}."


def _work(result: SessionResult) -> str:
    reused = sum(run.reused for run in result.runs)
    runs = f"{words.plural(len(result.runs), 'run')} ({reused} reused)"
    return f"Asked for tier {result.tier}; {runs} in {words.duration(result.seconds)}, {result.created}."


def _matrix(checks: list[Check]) -> dict[tuple[str, str], dict[str, int]]:
    counts = Counter((c.kind, c.tier or "", words.verdict(c)) for c in checks)
    tiers = [*words.EVIDENCE, ""]
    kinds = [*words.KINDS, *sorted({c.kind for c in checks} - set(words.KINDS))]
    found = {(k, t): {v: counts[k, t, v] for v in VERDICTS if counts[k, t, v]} for k in kinds for t in tiers}
    return {key: row for key, row in found.items() if row}


def _not_run(result: SessionResult) -> list[Group]:
    """Rows first, then checks whose reason their row has not given already."""
    groups: dict[tuple[str, str], Group] = {}

    def add(what: str, reason: str, example: str) -> None:
        groups.setdefault((what, reason), Group(what, reason)).examples.append(example)

    later: list[tuple[str, str, str]] = []
    for table in result.tables:
        for row in table.rows:
            name = f"{words.title(table)}: {row.name}"
            what = "other reading" if words.is_reading(row) else "own row" if words.is_users(row) else "row"
            if words.is_quoted(row):
                add("row quoted", "copied by the authors from other work; the table's section names the source", name)
            elif row.tier is None:
                add(f"{what} not run", row.not_run or "no reason was recorded", name)
            elif row.not_run:
                add(f"{what} not run above {row.tier}", row.not_run, name)
            later += [(c.verdict, c.reason, f"{name}: {c.subject}") for c in row.checks if c.reason != row.not_run]
        reasons = {row.not_run for row in table.rows}
        later += [
            (c.verdict, c.reason, f"{words.title(table)}: {c.subject}") for c in table.claims if c.reason not in reasons
        ]
    for outcome, reason, name in later:
        if outcome in ("SKIPPED", "MISSING"):
            add(f"check {outcome}", reason or "no reason was recorded", name)
    order = ("row not run", "row quoted", "check MISSING", "check SKIPPED")
    rank = {what: i for i, what in enumerate(order)}
    return sorted(groups.values(), key=lambda g: (rank.get(g.what, 0.5), -g.count))


def _attention(result: SessionResult) -> list[tuple[str, Check]]:
    found = []
    for table in result.tables:
        found += [(f"{words.title(table)}: {row.name}", check) for row in table.rows for check in row.checks]
        found += [(words.title(table), check) for check in table.claims]
    rank = {"ERROR": 0, "FAIL": 1, "IMPROVED": 2, "XFAIL": 3}
    return sorted((f for f in found if words.verdict(f[1]) in rank), key=lambda f: rank[f[1].verdict])
