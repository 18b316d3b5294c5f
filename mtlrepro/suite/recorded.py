"""`expected/measured/<machine>/<tier>.json`: this project's own recorded results, the reference for regressions.

Quality is compared with what this machine recorded, or else another one; time and memory with this machine's alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import StoreError
from mtlrepro.expected.tolerances import SPEED
from mtlrepro.files import read_json, write_json
from mtlrepro.spec import RunSpec, digest
from mtlrepro.suite import stats
from mtlrepro.suite.figures import figures_of
from mtlrepro.suite.program import program_digest
from mtlrepro.suite.store import Finished
from mtlrepro.suite.table import BoundTable
from mtlrepro.suite.tiers import TRAINED_TIERS, TWINS

SCHEMA_VERSION = 3


class Recorded:
    """Recorded figures by resolved spec.

    Args:
        runs: spec hash -> {"label", "provenance", "metrics", "speed"}; figures are lists of one value a seed, those of
            metrics are named as in `mtlrepro.engine.evaluate.record_key`.
        own: hashes that the very machine recorded.
    """

    def __init__(self, runs: dict[str, dict[str, Any]], own: Iterable[str] = ()):
        self.runs, self.own = runs, frozenset(own)

    def values(self, spec: RunSpec, figure: str) -> list[float]:
        """Recorded values of a figure, one a seed; empty if there are none."""
        return self.runs.get(spec.hash(), {}).get("metrics", {}).get(figure, [])

    def speed(self, spec: RunSpec, figure: str) -> list[float]:
        """Values of a figure of `SPEED` that this machine recorded, one a seed; empty if there are none."""
        return self.runs[spec.hash()].get("speed", {}).get(figure, []) if spec.hash() in self.own else []

    def spread(self, figure: str) -> tuple[float, int] | None:
        """Deviation of a figure over seeds, pooled over all recorded specs, and its degrees of freedom."""
        return stats.pooled([r["metrics"][figure] for r in self.runs.values() if figure in r["metrics"]])


def load(folder: Path, tier: str, machine: str) -> Recorded | None:
    """The recorded results of a tier: this machine's before any other's. None if there are none at all.

    Raises:
        StoreError: another schema version, invalid JSON, or not as `update` writes it.
    """
    files = sorted(folder.glob(f"*/{tier}.json"), key=lambda f: (f.parent.name != machine, f.parent.name))
    if not files:
        return None
    runs: dict[str, dict[str, Any]] = {}
    for file in files:
        runs = {**_read(file)["runs"], **runs}
    own = _read(files[0])["runs"] if files[0].parent.name == machine else ()
    return Recorded(runs, own)


def _read(path: Path) -> dict[str, Any]:
    mend = "Record again with `mtlrepro expected update`, or restore it from version control"
    content = read_json(path, mend)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        text = f"schema version {version!r}, this program reads {SCHEMA_VERSION}"
        raise StoreError(text, file=path, field="schema_version", mend=mend)
    runs = content.get("runs")
    if not isinstance(runs, dict):
        raise StoreError("not an object", file=path, field="runs", mend=mend)
    sources = content.get("provenance")
    if not isinstance(sources, dict):
        raise StoreError("not an object", file=path, field="provenance", mend=mend)
    for key, run in runs.items():
        mark = run.get("provenance") if isinstance(run, dict) else None
        if not isinstance(mark, str) or mark not in sources:
            raise StoreError("names no provenance", file=path, field=f"runs.{key}.provenance", mend=mend)
        for part in ("metrics", "speed"):
            figures = run.get(part)
            if not isinstance(figures, dict) or not all(map(_numbers, figures.values())):
                raise StoreError("not an object of lists of numbers", file=path, field=f"runs.{key}.{part}", mend=mend)
    return content


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) for v in values)


def update(tables: Sequence[BoundTable], finished: Iterable[Finished], folder: Path, command: str) -> list[Path]:
    """Write the figures that tables print, of the finished runs behind their rows, as the machines' references.

    Runs of another program than today's and runs that diverged are left out. Where a spec was run several times on
    one machine, the environment with most seeds counts, and among equals the youngest. Specs that are not in the
    store stay as they were recorded.

    Args:
        tables: all tables, since rows of several tables read one run.
        finished: the runs of a store.
        folder: `expected/measured/`.
        command: recorded with the figures.

    Returns:
        The files written, one a machine and tier; none if no finished run belongs to a row.

    Raises:
        StoreError: a spec has fewer seeds here than it was recorded with; nothing is written then.
    """
    judged = wanted(tables)
    groups: dict[tuple[str, str, str], dict[str, list[Finished]]] = {}
    for run in finished:
        place = (run.machine, run.run.tier, run.run.spec.hash())
        if place[1:] in judged and _sound(run, judged[place[1:]]) and run.run.program == program_digest(run.run.spec):
            made_with = digest([run.environment, run.run.data, run.run.weights])
            groups.setdefault(place, {}).setdefault(made_with, []).append(run)
    files: dict[Path, dict[str, dict[str, Any]]] = {}
    marks: dict[Path, dict[str, dict[str, str]]] = {}
    for (machine, tier, key), by_environment in groups.items():
        runs = max(by_environment.values(), key=lambda g: (len(g), max(r.ended for r in g)))
        runs = sorted(runs, key=lambda r: r.run.seed)
        path = folder / machine / f"{tier}.json"
        provenance = _provenance(runs, command)
        mark = digest(provenance, length=8)
        marks.setdefault(path, {})[mark] = provenance
        files.setdefault(path, {})[key] = {**_figures(runs, judged[tier, key]), "provenance": mark}
    known_files = {p: _read(p) if p.exists() else {"runs": {}, "provenance": {}} for p in files}
    for path, runs_of in files.items():
        for key, entry in runs_of.items():
            had, has = _seeds(known_files[path]["runs"].get(key, {})), _seeds(entry)
            if has < had:
                text = f"{entry['label']} has {has} seeds in the store and was recorded with {had}"
                mend = f"Run it with --seeds {had}, or delete its entry to record fewer"
                raise StoreError(text, file=path, field=f"runs.{key}", mend=mend)
    for path, runs_of in files.items():
        known = known_files[path]
        merged = {**known["runs"], **runs_of}
        used = {run["provenance"] for run in merged.values()}
        sources = {k: v for k, v in {**known["provenance"], **marks[path]}.items() if k in used}
        write_json(path, {"schema_version": SCHEMA_VERSION, "provenance": sources, "runs": merged})
    return sorted(files)


def _seeds(entry: dict[str, Any]) -> int:
    return max((len(v) for v in entry.get("metrics", {}).values()), default=0)


def wanted(tables: Sequence[BoundTable]) -> dict[tuple[str, str], set[str]]:
    """(tier, hash of the tier's twin) -> figures that rows with that spec print, as records name them."""
    found: dict[tuple[str, str], set[str]] = {}
    for bound in tables:
        for row in (row for row in bound.rows if not row.counted):
            figures = {record_key(row.view, m, protocol) for m, protocol in figures_of(bound.expected).items()}
            for spec in row.specs:
                for tier in TRAINED_TIERS:
                    found.setdefault((tier, TWINS[tier](spec).hash()), set()).update(figures)
    return found


def _sound(run: Finished, figures: set[str]) -> bool:
    """A run that diverged is no reference."""
    return all(math.isfinite(v) for name, v in run.record["metrics"].items() if name in figures)


def _figures(runs: list[Finished], figures: set[str]) -> dict[str, Any]:
    records = [r.record for r in runs]
    metrics = {
        f: [r["metrics"][f] for r in records] for f in sorted(figures) if all(f in r["metrics"] for r in records)
    }
    speed = {f: [r["speed"][f] for r in records] for f in SPEED if all(f in r["speed"] for r in records)}
    return {"label": runs[0].run.spec.label, "metrics": metrics, "speed": speed}


def _provenance(runs: list[Finished], command: str) -> dict[str, str]:
    """Environment of the runs, their seeds, the day the last one ended, and the command that recorded them."""
    date = datetime.fromtimestamp(max(r.ended for r in runs), UTC).date().isoformat()
    seeds = ", ".join(str(r.run.seed) for r in runs)
    return {**runs[0].environment, "date": date, "seeds": seeds, "command": command}
