"""Every distinct method of the declared tables, and the one that each is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mtlrepro.spec import RunSpec
from mtlrepro.suite.table import bind, discover

SUITES = Path(__file__).resolve().parents[1] / "suites"

PLAIN = ("supervised", "partial", "multi_scale", "atrc")
"""Objectives that are a weighted sum of losses of predictions."""


@dataclass(frozen=True)
class Method:
    """Architecture, backbone, objective and weighting on a dataset.

    Attributes:
        spec: the first paper-exact run of it, one without a second stream of data if there is any.
        row: table and row of that run.
        baseline: name of the first method of the same dataset and backbone with the plainest objective; its own where
            that is itself.
    """

    spec: RunSpec
    row: str
    baseline: str


def name_of(spec: RunSpec) -> str:
    """What makes a method: options that change a width or a weight do not."""
    tasks = "one" if len(spec.model.main) == 1 else "several"
    objective = [spec.objective.name] + [w for w in [spec.objective.weighting.name] if w != "fixed"]
    return "-".join([spec.data.name, spec.model.arch, spec.model.backbone, tasks, *objective])


@cache
def methods() -> dict[str, Method]:
    """All methods by name, in the order of the tables."""
    rows = [
        (spec, f"{bound.key} {row.name}")
        for file, table in discover(SUITES)
        for bound in bind(table, file)
        for row in bound.rows
        for spec in row.specs
    ]
    first: dict[str, tuple[RunSpec, str]] = {}
    for spec, row in sorted(rows, key=lambda pair: pair[0].data.extra.name != ""):
        first.setdefault(name_of(spec), (spec, row))
    plainest: dict[tuple[str, str], str] = {}
    for name, (spec, _) in sorted(first.items(), key=lambda item: item[1][0].objective.name not in PLAIN):
        plainest.setdefault((spec.data.name, spec.model.backbone), name)
    ordered = dict.fromkeys(name_of(spec) for spec, _ in rows)
    return {n: Method(*first[n], plainest[first[n][0].data.name, first[n][0].model.backbone]) for n in ordered}
