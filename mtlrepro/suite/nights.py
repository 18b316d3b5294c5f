"""What a night left, as entries that can be matched with another night's: runs of a store, or rows of a report.json.

Keys of runs are of no use for that: they change with the program. Runs are matched by spec, tier and seed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtlrepro.errors import ReproError, SpecError, StoreError
from mtlrepro.files import read_json
from mtlrepro.spec import RunSpec, digest
from mtlrepro.suite import failure
from mtlrepro.suite.figures import main_figure, usual_protocol
from mtlrepro.suite.machine import machine
from mtlrepro.suite.results import GREEN, GREY, Check, RowResult, SessionResult, TableResult, Value
from mtlrepro.suite.states import state_of
from mtlrepro.suite.store import SCHEMA_VERSION, read_result
from mtlrepro.tasks import TASKS

Place = tuple[str, ...]
"""What an entry is of: tier and digest of a spec; or paper, dataset, table, panel and row."""

MARKS = ("program", "data", "weights", "needs")
"""What may differ between runs of one spec and seed, and makes them other runs."""

FINE = GREEN | GREY | {"IMPROVED"}
"""Verdicts that fail nothing."""

STATES = ("done", "failed", "unfinished")


@dataclass(frozen=True)
class Entry:
    """A run of a night, or a row of its report.

    Attributes:
        place: what it is of.
        part: the run's seed; 0 for a row.
        label: what readers call it.
        tier: tier of its evidence, "" for none.
        dataset: what its figures were measured on.
        state: one of `STATES`.
        reason: why it is not done.
        figures: name -> figure, all of them; of runs by view and protocol, see `mtlrepro.engine.evaluate.record_key`.
        main: names of those that it is judged by.
        speed: "train_s", seconds of training; where they were measured "step_ms" and "vram_bytes".
        marks: digests by `MARKS`; of a row the keys of its runs, since all that is known is whether they are the same.
        environment: what it was made with.
        folder: the run's directory; None for a row.
    """

    place: Place
    part: int
    label: str
    tier: str
    dataset: str
    state: str
    reason: str = ""
    figures: Mapping[str, Value] = field(default_factory=dict)
    main: Collection[str] = ()
    speed: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def machine(self) -> str:
        """Name of the machine that made it."""
        return machine(self.environment)


@dataclass
class Night:
    """Everything that one side of a comparison has.

    Attributes:
        name: how readers are told of it: the path that was given.
        entries: by place and part.
        verdicts: (where, kind, subject) -> check, of a report.
        superseded: runs of a store that are left out because a later one is of the same spec, tier and seed.
    """

    name: str
    entries: dict[tuple[Place, int], Entry] = field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], Check] = field(default_factory=dict)
    superseded: int = 0


Wanted = Mapping[tuple[str, str], Collection[str]]
"""(tier, digest of a spec) -> figures that are judged."""


def read_night(path: Path, wanted: Wanted | None = None) -> Night:
    """Read a run store.

    Args:
        path: its folder.
        wanted: the runs that count, None for all of them, by the main figures of their tasks.

    Raises:
        StoreError: no such folder, or nothing in it.
    """
    if not path.is_dir():
        raise StoreError("no such run store or report.json", file=path, mend="Give what a session had as --runs")
    night = Night(str(path))
    ages: dict[tuple[Place, int], tuple[int, float]] = {}
    for entry, age in _runs(path, wanted):
        key = (entry.place, entry.part)
        rank = (-STATES.index(entry.state), age)
        night.superseded += key in ages
        if key not in ages or rank > ages[key]:
            ages[key], night.entries[key] = rank, entry
    if not night.entries:
        what = "no run" if wanted is None else "no run of these tables"
        raise StoreError(what, file=path, mend="Give the run store of a session, or leave --tables out")
    return night


def report_night(name: str, result: SessionResult, tables: Collection[str] | None = None) -> Night:
    """The rows of a report, and its checks."""
    night = Night(name)
    for table in result.tables:
        place = (table.paper, table.dataset, table.table, table.panel)
        where = "/".join(filter(None, place))
        if tables is not None and where not in tables:
            continue
        for row in table.rows:
            entry = _row(table, row, result.environment)
            if entry is not None:
                night.entries[entry.place, 0] = entry
            night.verdicts |= {(f"{where} [{row.name}]", c.kind, c.subject): c for c in row.checks}
        night.verdicts |= {(where, c.kind, c.subject): c for c in table.claims}
    if not night.entries:
        raise StoreError("no row that was run", file=name, mend="Give the report of a session that ran some")
    return night


def _runs(root: Path, wanted: Wanted | None) -> Iterator[tuple[Entry, float]]:
    """Every run of a store that counts and that somebody began, and when it was last written to."""
    for path in sorted(root.glob("*/spec.json")):
        identity = read_json(path, "Delete this run's directory")
        spec, folder = identity.get("spec"), path.parent
        if identity.get("schema_version") != SCHEMA_VERSION or not isinstance(spec, dict):
            continue  # of an older program, which had other figures
        tier, place = str(identity.get("tier")), digest(spec)
        state = state_of(folder)
        if (wanted is not None and (tier, place) not in wanted) or state == "queued":
            continue
        judged = None if wanted is None else wanted[tier, place]
        yield _run(folder, identity, state, judged), path.stat().st_mtime


def _run(folder: Path, identity: Mapping[str, Any], state: str, judged: Collection[str] | None) -> Entry:
    spec, tier = identity["spec"], str(identity["tier"])
    try:
        label = RunSpec.from_json(spec).label
    except SpecError:  # of a program with other settings
        label = f"a run of settings that are not known here ({digest(spec)})"
    base: dict[str, Any] = {
        "place": (tier, digest(spec)),
        "part": int(identity["seed"]),
        "label": label,
        "tier": tier,
        "dataset": str(spec.get("data", {}).get("name")),
        "marks": {name: str(identity.get(name)) for name in MARKS},
        "folder": folder,
    }
    try:
        if state != "done":
            left = failure.read(folder) if state == "failed" else None
            why = f"{left.problem} ({left.host}, {left.time})" if left else state
            return Entry(state="failed" if state == "failed" else "unfinished", reason=why, **base)
        record = read_result(folder / "result.json", folder.name)
        environment = read_json(folder / "env.json", "Delete this run's directory")
    except ReproError as error:  # one damaged run must not hide what became of the others
        return Entry(state="failed", reason=str(error), **base)
    figures = {name: Value(value) for name, value in record["metrics"].items()}
    return Entry(
        state="done",
        figures=figures,
        main=[name for name in figures if (_is_main(name) if judged is None else name in judged)],
        speed={"train_s": record["seconds"].get("train", 0.0), **record["speed"]},
        environment={name: str(text) for name, text in environment.items() if name != "host"},
        **base,
    )


def _is_main(name: str) -> bool:
    """Is it the figure that a task is judged by, by its usual protocol?"""
    place, _, figure = name.rpartition(".")
    task, _, protocol = place.partition(".")[2].partition(".")
    if task not in TASKS:
        return False
    main = main_figure(task)
    return main == f"{task}.{figure}" and protocol == usual_protocol(main)


def _row(table: TableResult, row: RowResult, environment: Mapping[str, str]) -> Entry | None:
    """A row that was run, or was meant to be; None for one that has nothing to compare."""
    broken = [check.reason for check in row.checks if check.kind == "run" and check.verdict == "ERROR"]
    if not row.metrics and not broken:
        return None
    place = (table.paper, table.dataset, table.table, table.panel, row.name)
    where = "/".join(filter(None, place[:4]))
    return Entry(
        place,
        0,
        f"{where} [{row.name}]",
        row.tier or "",
        table.dataset,
        "failed" if broken else "done",
        broken[0] if broken else "",
        row.metrics,
        [name for name in row.metrics if (task := name.partition(".")[0]) in TASKS and name == main_figure(task)],
        {name: row.resources[name] for name in ("train_s", "step_ms", "vram_bytes") if name in row.resources},
        {"runs": ", ".join(row.runs)},
        environment,
    )
