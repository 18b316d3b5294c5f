"""`expected/measured/<tier>.json`: this project's own recorded results, the reference for regressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtlrepro.errors import StoreError
from mtlrepro.files import read_json, write_json
from mtlrepro.spec import RunSpec, digest
from mtlrepro.suite import stats

SCHEMA_VERSION = 1


class Recorded:
    """Recorded figures by resolved spec.

    Args:
        runs: spec hash -> {"label", "provenance", "metrics": {"<view>.<task>.<figure>": [one value a seed]}}.
        provenance: mark -> machine, versions, commit, date and command of the runs that carry the mark.
    """

    def __init__(self, runs: dict[str, dict[str, Any]], provenance: dict[str, dict[str, str]] | None = None):
        self.runs, self.provenance = runs, provenance or {}

    def values(self, spec: RunSpec, figure: str) -> list[float]:
        """Recorded values of a figure, one a seed; empty if there are none."""
        return self.runs.get(spec.hash(), {}).get("metrics", {}).get(figure, [])

    def spread(self, figure: str) -> tuple[float, int] | None:
        """Deviation of a figure over seeds, pooled over all recorded specs, and its degrees of freedom."""
        return stats.pooled([r["metrics"][figure] for r in self.runs.values() if figure in r["metrics"]])


def load(folder: Path, tier: str) -> Recorded | None:
    """The recorded results of a tier, None if there are none.

    Raises:
        StoreError: another schema version, invalid JSON, or not as `save` writes it.
    """
    path = folder / f"{tier}.json"
    if not path.exists():
        return None
    mend = "Record again with --record, or restore it from version control"
    content = read_json(path, mend)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"schema version {version!r}, this program reads {SCHEMA_VERSION}",
            file=path,
            field="schema_version",
            mend=mend,
        )
    runs = content.get("runs")
    if not isinstance(runs, dict):
        raise StoreError("not an object", file=path, field="runs", mend=mend)
    for key, run in runs.items():
        metrics = run.get("metrics") if isinstance(run, dict) else None
        if not isinstance(metrics, dict) or not all(map(_numbers, metrics.values())):
            raise StoreError("not an object of lists of numbers", file=path, field=f"runs.{key}.metrics", mend=mend)
    return Recorded(runs, content.get("provenance", {}))


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) for v in values)


def save(folder: Path, tier: str, runs: dict[str, dict[str, Any]], provenance: dict[str, str]) -> Path:
    """Write the results of a tier, each run with a reference to its machine, versions, commit, date and command.

    Specs recorded before and not run now stay as they are.
    """
    path = folder / f"{tier}.json"
    known = load(folder, tier)
    mark = digest(provenance, length=8)
    merged = {**(known.runs if known else {}), **{key: {**run, "provenance": mark} for key, run in runs.items()}}
    sources = {**(known.provenance if known else {}), mark: provenance}
    used = {run.get("provenance") for run in merged.values()}
    content = {"provenance": {k: v for k, v in sources.items() if k in used}, "runs": merged}
    write_json(path, {"schema_version": SCHEMA_VERSION, **content})
    return path
