"""Tiers: which evidence a machine can give for a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mtlrepro.data import find_dataset
from mtlrepro.data.streams import UNLABELLED
from mtlrepro.spec import RunSpec
from mtlrepro.suite.shrink import TWINS

TRAINED_TIERS = ("smoke", "bench", "full")
"""Tiers that train, in rising strength (conformance trains nothing and always runs)."""

STOPWATCH_TIERS = ("smoke", "bench")
"""Tiers for rows that print time and memory alone: steps of the paper's exact model are timed on scenes as well."""


@dataclass(frozen=True)
class Capacity:
    """What this machine has: CUDA devices and a folder with datasets; each dataset is looked for once."""

    gpus: int
    data_root: Path | None
    _found: dict[str, Path | str] = field(default_factory=dict, compare=False, repr=False)

    def find(self, dataset: str) -> Path | str:
        """Where a dataset lies, or why it cannot be used (see `mtlrepro.data.find_dataset`)."""
        if dataset not in self._found:
            self._found[dataset] = find_dataset(dataset, self.data_root)
        return self._found[dataset]


@dataclass(frozen=True)
class Service:
    """How a row's specs are served: tier, twins, and why no stronger tier; tier None means not at all."""

    tier: str | None
    specs: tuple[RunSpec, ...]
    not_run: str


def obstacle(spec: RunSpec, tier: str, capacity: Capacity) -> str:
    """Everything that is missing here to serve a tier, "" if it can be served."""
    missing = []
    names = [spec.data.name, *([spec.data.extra.name] if spec.data.extra.name not in ("", UNLABELLED) else [])]
    for name in names if tier == "full" else ():
        if isinstance(found := capacity.find(name), str):
            missing.append(found)
    if tier in ("bench", "full") and capacity.gpus == 0:
        missing.append("no CUDA GPU is visible")
    return f"{tier}: {'; and '.join(missing)}" if missing else ""


def serve(specs: tuple[RunSpec, ...], tier: str, capacity: Capacity, timed: bool = False) -> Service:
    """Choose the tier for a row's specs: the one asked for, or with "auto" the strongest that can be served.

    Args:
        specs: paper-exact runs of the row.
        tier: "auto" or one of `TRAINED_TIERS`.
        capacity: what the machine has.
        timed: whether the row prints time and memory alone; the strongest tier for it is "bench".
    """
    strongest = tuple(reversed(STOPWATCH_TIERS if timed else TRAINED_TIERS))
    wanted = strongest if tier == "auto" else (min(tier, "bench", key=TRAINED_TIERS.index) if timed else tier,)
    reasons: list[str] = []
    for candidate in wanted:
        obstacles = [o for spec in specs if (o := obstacle(spec, candidate, capacity))]
        if not obstacles:
            return Service(candidate, tuple(TWINS[candidate](s) for s in specs), "; ".join(reasons))
        reasons.append(obstacles[0])
    return Service(None, (), "; ".join(reasons))
