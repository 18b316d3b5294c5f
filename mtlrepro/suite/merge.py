"""One result from several: of the rows of one session, or of sessions that ran parts of the tables elsewhere.

A session's own parts agree by construction. Sessions of other machines may not: other commits, other versions, a row
that both ran with another outcome. Nothing of that is settled here; it is told.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtlrepro.engine.environment import command
from mtlrepro.suite.judge import adjust_together
from mtlrepro.suite.results import Part, RunInfo, SessionResult, TableResult

Place = tuple[str, ...]


def merge(parts: Sequence[SessionResult], whole: SessionResult) -> SessionResult:
    """One result from parts of it, gathered row by row from one or several processes.

    Args:
        parts: see `Session.part`, in the order the rows ran.
        whole: supplies command, time and environment.
    """
    tables: dict[Place, TableResult] = {}
    for part in parts:
        for table in part.tables:
            known = tables.setdefault(_place(table), replace(table, rows=[], claims=[]))
            known.rows = sorted([*known.rows, *table.rows], key=lambda row: known.row_names.index(row.name))
            known.claims += table.claims
            known.notes, known.findings = known.notes or table.notes, known.findings or table.findings
            known.audit = known.audit or table.audit
    return replace(whole, tables=list(tables.values()), runs=_runs(parts))


def merge_reports(reports: Mapping[str, SessionResult]) -> tuple[SessionResult, list[str]]:
    """One report of several sessions.

    Every row and claim is in it once. Of a table whose rows come from several sessions the adjusted verdicts are made
    anew over all of them; what one session alone can know, such as Δ_m against a baseline that ran elsewhere, stays
    as that session said it.

    Args:
        reports: name, as it is told to readers -> what that session concluded, in the order they are given.

    Returns:
        The report, and a sentence for every row, claim or heading of a table that two sessions have otherwise: the
        first one given stands.
    """
    merged = _Merged()
    for name, result in reports.items():
        for table in result.tables:
            merged.add(name, table)
    parts = [part for name, result in reports.items() for part in _parts(name, result)]
    tiers = dict.fromkeys(result.tier for result in reports.values())
    return SessionResult(
        command=command(),
        created=max(part.created for part in parts),
        tier=", ".join(tiers),
        seconds=sum(part.seconds for part in parts),
        environment=together({part.name: part.environment for part in parts}),
        tables=merged.finished(),
        runs=_runs(list(reports.values())),
        parts=parts,
    ), merged.conflicts


def together(environments: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """One environment of several: what they agree on as it is, else every value with those that have it.

    Example:
        >>> together({"a": {"torch": "2.11", "gpu": "none"}, "b": {"torch": "2.15", "gpu": "none"}})
        {'torch': '2.11 (a); 2.15 (b)', 'gpu': 'none'}
    """
    names = dict.fromkeys(name for environment in environments.values() for name in environment)
    found = {name: _holders(environments, name) for name in names}
    return {
        name: next(iter(of)) if len(of) == 1 else "; ".join(f"{value} ({', '.join(who)})" for value, who in of.items())
        for name, of in found.items()
    }


def differing(parts: Sequence[Part]) -> list[str]:
    """Names of what the environments of merged sessions do not agree on."""
    environments = {part.name: part.environment for part in parts}
    names = dict.fromkeys(name for part in parts for name in part.environment)
    return [name for name in names if len(_holders(environments, name)) > 1]


def missing_shards(parts: Sequence[Part]) -> list[str]:
    """Shards of the same division as those that are there, and that are not."""
    there = {part.shard for part in parts if part.shard}
    counts = dict.fromkeys(int(shard.partition("/")[2]) for shard in there)
    return [f"{k}/{n}" for n in counts for k in range(1, n + 1) if f"{k}/{n}" not in there]


class _Merged:
    """Tables as they grow, and where each row and claim of them is from."""

    def __init__(self) -> None:
        self.tables: dict[Place, TableResult] = {}
        self.conflicts: list[str] = []
        self._sources: dict[tuple[Place, str, str], str] = {}
        self._sessions: dict[Place, set[str]] = {}

    def add(self, name: str, table: TableResult) -> None:
        """Take a session's table."""
        place = _place(table)
        known = self.tables.setdefault(place, replace(table, rows=[], claims=[], notes=[]))
        if _text(table.columns) != _text(known.columns):
            self._conflict(place, "its columns", self._sources[place, "", ""], name)
        self._sources.setdefault((place, "", ""), name)
        known.row_names = list(dict.fromkeys([*known.row_names, *table.row_names]))
        for row in table.rows:
            before = next((r for r in known.rows if r.name == row.name), None)
            if self._fresh(place, "row", row.name, name, before, row):
                known.rows = sorted([*known.rows, row], key=lambda r: known.row_names.index(r.name))
                self._sessions.setdefault(place, set()).add(name)
        for claim in table.claims:
            said = next((c for c in known.claims if c.subject == claim.subject), None)
            if self._fresh(place, "claim", claim.subject, name, said, claim):
                known.claims.append(claim)
        known.notes = list(dict.fromkeys([*known.notes, *table.notes]))
        known.findings, known.audit = known.findings or table.findings, known.audit or table.audit
        known.baseline = known.baseline or table.baseline

    def finished(self) -> list[TableResult]:
        """All tables, those of several sessions adjusted anew."""
        printed: dict[Place, list[TableResult]] = {}
        for place, table in self.tables.items():
            printed.setdefault(place[:3], []).append(table)
        for panels in printed.values():
            if len(set().union(*(self._sessions.get(_place(panel), set()) for panel in panels))) > 1:
                adjust_together(panels)
        return list(self.tables.values())

    def _fresh(self, place: Place, kind: str, subject: str, name: str, before: Any, now: Any) -> bool:
        """Is it new? What is there already must say the same, whether found in a store or made."""
        if before is None:
            self._sources[place, kind, subject] = name
            return True
        if _text(before) != _text(now):
            self._conflict(place, f"{kind} {subject!r}", self._sources[place, kind, subject], name)
        return False

    def _conflict(self, place: Place, what: str, first: str, second: str) -> None:
        table = "/".join(filter(None, place))
        text = f"{table}: {what} is not the same in {first} and in {second}; that of {first} stands"
        self.conflicts.append(text.replace("columns is", "columns are"))


def _parts(name: str, result: SessionResult) -> list[Part]:
    """What a report was made of: a session, or the sessions that were merged into it."""
    if result.parts:
        return result.parts
    whole = Part(name, result.shard, result.command, result.created, result.seconds, result.environment)
    return [whole]


def _runs(parts: Sequence[SessionResult]) -> list[RunInfo]:
    """Every run once; it was found in a store only where nobody made it."""
    runs: dict[str, RunInfo] = {}
    for part in parts:
        for run in part.runs:
            known = runs.get(run.key, run)
            made = known if not known.reused else run
            runs[run.key] = replace(made, reused=known.reused and run.reused)
    return list(runs.values())


def _holders(environments: Mapping[str, Mapping[str, str]], name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for who, environment in environments.items():
        found.setdefault(environment.get(name, "not told"), []).append(who)
    return found


def _place(table: TableResult) -> Place:
    return (table.paper, table.dataset, table.table, table.panel)


def _text(value: Any) -> str:
    """A result as text in which NaN equals itself, without what depends on the store alone."""

    def plain(item: Any) -> Any:
        made = dataclasses.asdict(item)
        made.pop("reused", None)
        return made

    return json.dumps([plain(v) for v in value] if isinstance(value, list) else plain(value), sort_keys=True)
