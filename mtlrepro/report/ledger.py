"""Every run's spec, environment and files: equal specs and equal environments once, however many runs share them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from mtlrepro.engine.environment import EXTRAS, PACKAGES
from mtlrepro.report import words
from mtlrepro.report.rundir import RunFiles
from mtlrepro.suite.results import RowResult, RunInfo, SessionResult, TableResult

ALIKE = ("mtlrepro", "python", *PACKAGES, *EXTRAS, "cuda", "cudnn", "gpu")
"""Facts of an environment that figures of one table should share."""


@dataclass(frozen=True)
class Entry:
    """One run: its key, seed, what it took, what it left, and the number of its environment (0: unknown)."""

    key: str
    seed: int
    steps: str
    work: str
    state: str
    left: str
    environment: int
    problems: str


@dataclass
class SpecEntry:
    """Runs of one spec.

    Attributes:
        anchor: id in the page.
        label: short name of the spec.
        tier: tier of its evidence.
        outline: the whole spec as text, one field a line; empty where it cannot be read.
        needs: keys of the runs that these start from.
        runs: one a seed.
        rows: the rows that read them, as (anchor of the table, words).
    """

    anchor: str
    label: str
    tier: str
    outline: str
    needs: list[str]
    runs: list[Entry] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Ledger:
    """All specs in the order of their first run, environments by number, and which spec a run's key belongs to."""

    specs: list[SpecEntry]
    environments: list[tuple[int, int, dict[str, str]]]
    """(number, runs made so, facts); those of the first are told whole, of others what differs from it."""
    of_run: dict[str, SpecEntry]

    def of_row(self, row: RowResult) -> list[SpecEntry]:
        """The specs behind a row, each once."""
        found = {self.of_run[key].anchor: self.of_run[key] for key in row.runs if key in self.of_run}
        return list(found.values())


def ledger(result: SessionResult, files: dict[str, RunFiles], anchors: dict[int, str]) -> Ledger:
    """The ledger of a session.

    Args:
        result: the session.
        files: run key -> files.
        anchors: place of a table in `result.tables` -> its id in the page.
    """
    numbers: dict[str, tuple[int, dict[str, str]]] = {}
    used: dict[int, int] = {}
    specs: dict[str, SpecEntry] = {}
    of_run: dict[str, SpecEntry] = {}
    for run in result.runs:
        found = files[run.key]
        number = 0
        if found.environment:
            text = json.dumps(found.environment, sort_keys=True)
            number = numbers.setdefault(text, (len(numbers) + 1, found.environment))[0]
            used[number] = used.get(number, 0) + 1
        identity = json.dumps([run.tier, found.spec or [run.label, run.key]], sort_keys=True)
        entry = specs.setdefault(
            identity, SpecEntry(f"run-{run.key}", run.label, run.tier, outline(found.spec), found.needs)
        )
        entry.runs.append(_entry(run, found, number))
        of_run[run.key] = entry
    environments = [(number, used[number], facts) for number, facts in numbers.values()]
    book = Ledger(list(specs.values()), _told_apart(environments), of_run)
    for place, table in enumerate(result.tables):
        for row in table.rows:
            for entry in book.of_row(row):
                entry.rows.append((anchors[place], f"{words.title(table)}: {row.name}"))
    return book


def _told_apart(environments: list[tuple[int, int, dict[str, str]]]) -> list[tuple[int, int, dict[str, str]]]:
    if len(environments) < 2:
        return environments
    first = environments[0][2]
    return [
        environments[0],
        *(
            (number, runs, {k: facts.get(k, words.NONE) for k in {**first, **facts} if facts.get(k) != first.get(k)})
            for number, runs, facts in environments[1:]
        ),
    ]


def _entry(run: RunInfo, found: RunFiles, environment: int) -> Entry:
    steps = found.result.get("steps") or (found.steps[-1] if found.steps else None)
    spent = found.result.get("seconds")
    parts = spent.items() if isinstance(spent, dict) else ()
    apart = ", ".join(f"{name} {words.duration(float(s))}" for name, s in parts if isinstance(s, int | float))
    work = words.duration(run.seconds) + (f" ({apart})" if apart else "")
    left = [words.plural(len(found.steps), "training line"), words.plural(len(found.evaluations), "evaluation")]
    left += [f"checkpoint {found.checkpoint / 2**20:.1f} MiB"] if found.checkpoint else ["no checkpoint"]
    device = found.result.get("device")
    left += [f"on {device}"] if device else []
    return Entry(
        run.key,
        run.seed,
        str(steps or words.NONE),
        work,
        "reused" if run.reused else "new",
        ", ".join(left),
        environment,
        "; ".join(found.problems),
    )


def outline(value: Any, depth: int = 0) -> str:
    r"""A spec as indented text, one field a line; empty fields are left out, lists of pairs read as objects.

    Example:
        >>> print(outline({"data": {"name": "nyuv2", "size": [64, 96], "extra": {}}, "needs": []}))
        data
          name: nyuv2
          size: [64, 96]
    """
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and all(_is_pair(pair) for pair in item):
            item = dict(item)
        if isinstance(item, list) and item and all(isinstance(part, dict) for part in item):
            item = {f"{i + 1}": part for i, part in enumerate(item)}
        if isinstance(item, dict):
            below = outline(item, depth + 1)
            lines += [f"{'  ' * depth}{key}", below] if below else []
        elif item not in ("", None, []):
            lines.append(f"{'  ' * depth}{key}: {item if isinstance(item, str) else json.dumps(item)}")
    return "\n".join(lines)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def unlike(table: TableResult, files: dict[str, RunFiles]) -> list[str]:
    """One sentence for each fact in which the environments of a table's runs differ: versions, GPUs."""
    rows: dict[str, list[str]] = {}
    for row in table.rows:
        for key in row.runs:
            if key in files and files[key].environment:
                rows.setdefault(key, []).append(row.name)
    sentences = []
    for fact in ALIKE:
        by_value: dict[str, list[str]] = {}
        for key in rows:
            by_value.setdefault(files[key].environment.get(fact, "none"), []).append(key)
        if len(by_value) > 1:
            said = (f"{value} ({_of_whom(keys, rows)})" for value, keys in by_value.items())
            sentences.append(f"The runs of this table were made under different {_name(fact)}: {'; '.join(said)}.")
    return sentences


def _of_whom(keys: list[str], rows: dict[str, list[str]]) -> str:
    names = list(dict.fromkeys(name for key in keys for name in rows[key]))
    return f"{words.plural(len(keys), 'run')} of {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"


def _name(fact: str) -> str:
    return "GPUs" if fact == "gpu" else f"versions of {fact}"
