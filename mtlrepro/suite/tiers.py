"""Tiers: which evidence a machine can give for a row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from mtlrepro.data import find_dataset
from mtlrepro.data.disk.origin import SYNTHETIC, origin
from mtlrepro.data.streams import UNLABELLED
from mtlrepro.spec import RunSpec
from mtlrepro.suite.shrink import TWINS

TRAINED_TIERS = ("smoke", "bench", "full")
"""Tiers that train, in rising strength (conformance trains nothing and always runs)."""

REHEARSAL = "rehearsal"
"""What tier "full" becomes where the dataset is a synthetic copy (`mtlrepro data synthesize`): the same files, readers
and transforms, small networks, a few steps. It tells that the machinery works, and nothing about a paper."""

STOPWATCH_TIERS = ("smoke", "bench")
"""Tiers for rows that print time and memory alone: steps of the paper's exact model are timed on scenes as well."""


@dataclass(frozen=True)
class Capacity:
    """What this machine has: CUDA devices and a folder with datasets; each dataset is looked for once.

    Attributes:
        gpus: number of CUDA devices.
        data_root: folder of the datasets on disk.
        cache: folder for what readers find out about files.
    """

    gpus: int
    data_root: Path | None
    cache: Path | None = None
    _found: dict[str, Path | str] = field(default_factory=dict, compare=False, repr=False)

    def find(self, dataset: str) -> Path | str:
        """Where a dataset lies, or why it cannot be used (see `mtlrepro.data.find_dataset`)."""
        if dataset not in self._found:
            self._found[dataset] = find_dataset(dataset, self.data_root, self.cache)
        return self._found[dataset]

    def origin(self, dataset: str) -> str:
        """What was found of a dataset, if it is not its release; see `mtlrepro.data.disk.origin`."""
        found = self.find(dataset)
        return origin(found) if isinstance(found, Path) else ""

    def remark(self, dataset: str) -> str:
        """The same as a sentence, "" where there is nothing to remark."""
        found = self.origin(dataset)
        return f"{dataset} in {self.find(dataset)} is {found}" if found else ""


@dataclass(frozen=True)
class Service:
    """How a row's specs are served.

    Attributes:
        tier: None means not at all.
        specs: their twins at that tier.
        not_run: why no stronger tier.
        varied: settings of datasets and arithmetic that a user chose in place of the declared ones, as far as the twins
            differ by them; such a run is another experiment than the printed one.
    """

    tier: str | None
    specs: tuple[RunSpec, ...]
    not_run: str
    varied: str = ""


def obstacle(spec: RunSpec, tier: str, capacity: Capacity) -> str:
    """Everything that is missing here to serve a tier, "" if it can be served."""
    names = datasets(spec) if tier in ("full", REHEARSAL) else []
    missing = [found for name in names if isinstance(found := capacity.find(name), str)]
    missing += [capacity.remark(name) for name in names if tier == "full" and capacity.origin(name) == SYNTHETIC]
    if tier in ("bench", "full") and capacity.gpus == 0:
        missing.append("no CUDA GPU is visible")
    return f"{tier}: {'; and '.join(missing)}" if missing else ""


def datasets(spec: RunSpec) -> list[str]:
    """The datasets that a run trains on and is evaluated on."""
    data = spec.data
    return list(dict.fromkeys(n for n in (data.name, data.extra.name, data.val_name) if n not in ("", UNLABELLED)))


def serve(
    specs: tuple[RunSpec, ...], tier: str, capacity: Capacity, timed: bool = False, like: tuple[RunSpec, ...] = ()
) -> Service:
    """Choose the tier for a row's specs: the one asked for, or with "auto" the strongest that can be served.

    "full" on synthetic copies of the datasets is served as a rehearsal, but only where it is asked for by name.

    Args:
        specs: paper-exact runs of the row.
        tier: "auto" or one of `TRAINED_TIERS`.
        capacity: what the machine has.
        timed: whether the row prints time and memory alone; the strongest tier for it is "bench".
        like: for each of `specs` the run whose twin lends its own data and recipe, where a method that no twin was made
            for stands in the place of one that has some; empty for runs that stand for themselves.
    """
    strongest = tuple(reversed(STOPWATCH_TIERS if timed else TRAINED_TIERS))
    wanted = strongest if tier == "auto" else (min(tier, "bench", key=TRAINED_TIERS.index) if timed else tier,)
    if wanted == ("full",) and any(capacity.origin(name) == SYNTHETIC for spec in specs for name in datasets(spec)):
        wanted = ("full", REHEARSAL)
    reasons: list[str] = []
    for candidate in wanted:
        obstacles = [o for spec in specs if (o := obstacle(spec, candidate, capacity))]
        if not obstacles:
            twins = tuple(TWINS[candidate](s) for s in specs)
            lenders = tuple(TWINS[candidate](s) for s in like) or twins
            twins = tuple(replace(t, data=o.data, recipe=o.recipe) for t, o in zip(twins, lenders, strict=True))
            return Service(candidate, twins, "; ".join(reasons))
        reasons.append(obstacles[0])
    return Service(None, (), "; ".join(reasons))
