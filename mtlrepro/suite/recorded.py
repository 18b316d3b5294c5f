"""`expected/measured/<tier>.json`: this project's own recorded results, the reference for regressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtlrepro.errors import StoreError
from mtlrepro.suite import stats
from mtlrepro.suite.spec import RunSpec
from mtlrepro.suite.store import read_json, write_json

SCHEMA_VERSION = 1


class Recorded:
    """Recorded figures by resolved spec.

    Args:
        runs: spec hash -> {"label", "metrics": {"<view>.<task>.<figure>": [one value a seed]}}.
    """

    def __init__(self, runs: dict[str, dict[str, Any]]):
        self._runs = runs

    def values(self, spec: RunSpec, figure: str) -> list[float]:
        """Recorded values of a figure, one a seed; empty if there are none."""
        return self._runs.get(spec.hash(), {}).get("metrics", {}).get(figure, [])

    def spread(self, figure: str) -> tuple[float, int] | None:
        """Deviation of a figure over seeds, pooled over all recorded specs, and its degrees of freedom."""
        return stats.pooled([r["metrics"][figure] for r in self._runs.values() if figure in r["metrics"]])


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
    return Recorded(runs)


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) for v in values)


def save(folder: Path, tier: str, runs: dict[str, dict[str, Any]], provenance: dict[str, str]) -> Path:
    """Write the results of a tier, with machine, versions, commit, date and command.

    Specs recorded before and not run now are dropped: a reference is of one machine and one program.
    """
    path = folder / f"{tier}.json"
    write_json(path, {"schema_version": SCHEMA_VERSION, "provenance": provenance, "runs": runs})
    return path
