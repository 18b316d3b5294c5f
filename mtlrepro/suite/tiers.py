"""Tiers: what a machine can serve, and the pure functions that turn a paper-exact spec into its twin there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from mtlrepro.data import find_dataset
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, Options, RunSpec, options

TRAINED_TIERS = ("smoke", "bench", "full")
"""Tiers that train, in rising strength (conformance trains nothing and always runs)."""

SMOKE_BACKBONES = {"hrnet18": "hrnet_nano", "hrnet48": "hrnet_nano"}
SMOKE_MODEL_OPTIONS: dict[str, Options] = {"padnet": options(width=32)}
SMOKE_SIZE = (64, 96)
SMOKE_AUGMENT = "flip"
SMOKE_CLASSES = 13
SMOKE_TRAIN, SMOKE_VAL = 192, 48
SMOKE_BATCH, SMOKE_EPOCHS = 4, 4
SMOKE_LR_FACTOR, BENCH_LR_FACTOR = 40.0, 10.0
"""Smoke runs make a few hundred steps from random weights: the paper's fine-tuning rate would not move them."""

BENCH_TRAIN, BENCH_VAL = 240, 60
BENCH_EPOCHS = 12


def smoke(spec: RunSpec) -> RunSpec:
    """The smoke twin: embedded scenes, small image, small backbone from random weights, a few hundred steps."""
    m = spec.model
    if m.backbone not in SMOKE_BACKBONES:
        raise SpecError(
            f"no smoke twin for backbone {m.backbone!r}", mend="Name one in mtlrepro.suite.tiers.SMOKE_BACKBONES"
        )
    return replace(
        spec,
        data=DataSpec("scenes", SMOKE_SIZE, SMOKE_AUGMENT, SMOKE_TRAIN, SMOKE_VAL, options(classes=SMOKE_CLASSES)),
        model=replace(
            m,
            backbone=SMOKE_BACKBONES[m.backbone],
            weights=None,
            options=_override(m.options, SMOKE_MODEL_OPTIONS.get(m.arch, ())),
        ),
        recipe=replace(spec.recipe, lr=spec.recipe.lr * SMOKE_LR_FACTOR, batch=SMOKE_BATCH, epochs=SMOKE_EPOCHS),
    )


def bench(spec: RunSpec) -> RunSpec:
    """The bench twin: the paper's exact model, batch and resolution on embedded scenes, a short training."""
    return replace(
        spec,
        data=DataSpec("scenes", spec.data.size, spec.data.augment, BENCH_TRAIN, BENCH_VAL),
        model=replace(spec.model, weights=None),
        recipe=replace(spec.recipe, lr=spec.recipe.lr * BENCH_LR_FACTOR, epochs=BENCH_EPOCHS),
    )


def full(spec: RunSpec) -> RunSpec:
    """The paper's run itself."""
    return spec


TWINS = {"smoke": smoke, "bench": bench, "full": full}


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
    if tier == "full" and isinstance(found := capacity.find(spec.data.name), str):
        missing.append(found)
    if tier in ("bench", "full") and capacity.gpus == 0:
        missing.append("no CUDA GPU is visible")
    return f"{tier}: {'; and '.join(missing)}" if missing else ""


def serve(specs: tuple[RunSpec, ...], tier: str, capacity: Capacity) -> Service:
    """Choose the tier for a row's specs: the one asked for, or with "auto" the strongest that can be served."""
    wanted = tuple(reversed(TRAINED_TIERS)) if tier == "auto" else (tier,)
    reasons: list[str] = []
    for candidate in wanted:
        obstacles = [o for spec in specs if (o := obstacle(spec, candidate, capacity))]
        if not obstacles:
            return Service(candidate, tuple(TWINS[candidate](s) for s in specs), "; ".join(reasons))
        reasons.append(obstacles[0])
    return Service(None, (), "; ".join(reasons))


def _override(own: Options, over: Options) -> Options:
    return options(**{**dict(own), **dict(over)})
