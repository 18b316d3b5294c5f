"""Pure functions that turn a paper-exact spec into its twin of a tier, by configuration alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mtlrepro.data.streams import UNLABELLED
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Options, Recipe, RunSpec, options

SMOKE_BACKBONES = {
    "hrnet18": "hrnet_nano",
    "hrnet48": "hrnet_nano",
    "segnet": "segnet_nano",
    "resnet50_os8": "resnet_nano",
    "resnet50_os16": "resnet_nano",
}
SMOKE_MODEL_OPTIONS: dict[str, Options] = {"padnet": options(width=32), "deeplab": options(width=16)}
SMOKE_AUGMENT = {"flip_zoom": "flip", "crop_photo": "flip_photo", "flip_crop_photo": "flip_photo"}
"""Without a camera's fixed focal length a zoomed room's depth is ambiguous; a few hundred steps do not resolve that."""

ROOMS = options(classes=13)


@dataclass(frozen=True)
class SmokeTwin:
    """What the smoke runs of a dataset are made on.

    Attributes:
        name, options: embedded scenes.
        size: (height, width) of images and labels.
        train: training samples.
        batch: most samples a step.
        epochs: passes over as many labelled samples.
    """

    name: str
    size: tuple[int, int]
    options: Options = ROOMS
    train: int = 192
    batch: int = 4
    epochs: int = 4


SMOKE_VAL = 48
# JTR's tables are 93 runs, most with several views and networks: small images.
SMOKE_DATA = {
    "nyuv2": SmokeTwin("scenes", (64, 96)),
    "nyuv2_13": SmokeTwin("scenes", (32, 64), train=128, epochs=6),
    "cityscapes_7": SmokeTwin("streets", (32, 64), (), train=128, epochs=6),
    "taskonomy": SmokeTwin("scenes_taskonomy", (32, 32), batch=8, epochs=12),  # a seventh of the labels, noisy maps
}
"""Paper's dataset -> its smoke twin."""

SMOKE_LR_FACTOR = 40.0
"""Smoke runs make a few hundred steps from random weights: the paper's fine-tuning rate would not move them."""

SMOKE_SCHEDULE = "poly"
"""A short training ends slowly, or the running statistics of deep networks lag behind weights that still move."""

BENCH_TRAIN, BENCH_VAL = 240, 60
BENCH_DATA: dict[str, tuple[str, Options]] = {
    "nyuv2": ("scenes", ()),
    "nyuv2_13": ("scenes", ROOMS),
    "cityscapes_7": ("streets", ()),
    "taskonomy": ("scenes_taskonomy", ROOMS),
}
"""Paper's dataset -> embedded scenes of its bench twin, at the paper's image size."""

TWIN_EXTRA = {"nyuv2_depth": ("scenes", options(classes=13, seed=1))}
"""Second stream of a dataset of its own -> other rooms."""

BENCH_EPOCHS, BENCH_LR_FACTOR = 12, 10.0
REHEARSAL_EPOCHS = 2
SMOKE_REGULARISER = 0.1
"""Factor of regularisers' weights: what is hardly trained pulls less at predictions that are hardly formed."""

SMOKE_NARROWER = 16
"""Auxiliary networks of objectives become so many times narrower; their bottleneck is then that of `segnet_nano`."""


def smoke(spec: RunSpec) -> RunSpec:
    """The smoke twin: embedded scenes, small image, small networks from random weights, a few hundred steps."""
    return replace(
        spec,
        data=_smoke_data(spec.data),
        model=_smoke_model(spec.model),
        recipe=_smoke_recipe(spec.recipe, spec.data),
        objective=_smoke_objective(spec.objective),
        needs=tuple(map(smoke, spec.needs)),
    )


def bench(spec: RunSpec) -> RunSpec:
    """The bench twin: the paper's exact model, batch and resolution on embedded scenes, a short training."""
    name, chosen = _known(BENCH_DATA, spec.data.name, "dataset")
    data = replace(
        spec.data, name=name, train=BENCH_TRAIN, val=BENCH_VAL, options=chosen, extra=_extra(spec.data, BENCH_TRAIN)
    )
    every = min(spec.recipe.evaluate_every, BENCH_EPOCHS)
    return replace(
        spec,
        data=data,
        model=replace(spec.model, weights=None),
        recipe=replace(spec.recipe, lr=spec.recipe.lr * BENCH_LR_FACTOR, epochs=BENCH_EPOCHS, evaluate_every=every),
        needs=tuple(map(bench, spec.needs)),
    )


def full(spec: RunSpec) -> RunSpec:
    """The paper's run itself."""
    return spec


def rehearsal(spec: RunSpec) -> RunSpec:
    """The paper's run on its own files, read and transformed as in the paper, but small and short as a smoke twin."""
    small, twin = smoke(spec), _known(SMOKE_DATA, spec.data.name, "dataset")
    data = replace(spec.data, size=twin.size)
    every = min(spec.recipe.evaluate_every, 1)
    return replace(
        small,
        data=data,
        recipe=replace(small.recipe, epochs=REHEARSAL_EPOCHS, evaluate_every=every),
        needs=tuple(map(rehearsal, spec.needs)),
    )


TWINS: dict[str, Callable[[RunSpec], RunSpec]] = {
    "smoke": smoke,
    "bench": bench,
    "full": full,
    "rehearsal": rehearsal,
}


def _smoke_data(data: DataSpec) -> DataSpec:
    twin: SmokeTwin = _known(SMOKE_DATA, data.name, "dataset")
    return replace(
        data,
        name=twin.name,
        size=twin.size,
        augment=SMOKE_AUGMENT.get(data.augment, data.augment),
        train=twin.train,
        val=SMOKE_VAL,
        options=twin.options,
        extra=_extra(data, twin.train),
    )


def _extra(data: DataSpec, train: int) -> ExtraData:
    extra = data.extra
    if extra.name in ("", UNLABELLED):
        return extra
    name, chosen = _known(TWIN_EXTRA, extra.name, "dataset")
    return replace(extra, name=name, train=train, options=chosen)


def _smoke_model(model: ModelSpec) -> ModelSpec:
    return replace(
        model,
        backbone=_known(SMOKE_BACKBONES, model.backbone, "backbone"),
        weights=None,
        options=_override(model.options, SMOKE_MODEL_OPTIONS.get(model.arch, ())),
    )


def _smoke_recipe(recipe: Recipe, data: DataSpec) -> Recipe:
    twin: SmokeTwin = _known(SMOKE_DATA, data.name, "dataset")
    epochs = round(twin.epochs * 100 / (100 - data.unlabelled))  # as many steps however few samples are labelled
    return replace(
        recipe,
        lr=recipe.lr * SMOKE_LR_FACTOR,
        schedule=SMOKE_SCHEDULE,
        batch=min(recipe.batch, twin.batch),
        epochs=epochs,
        evaluate_every=min(recipe.evaluate_every, 1) * (epochs // 2),
    )


def _smoke_objective(objective: ObjectiveSpec) -> ObjectiveSpec:
    small: dict[str, Callable[[Any], Any]] = {
        "weight": lambda weight: weight * SMOKE_REGULARISER,
        "distance_weight": lambda weight: weight * SMOKE_REGULARISER,
        "widths": lambda widths: tuple(width // SMOKE_NARROWER for width in widths),
        "encoder": lambda name: _known(SMOKE_BACKBONES, name, "encoder"),
    }
    narrow = {name: small[name](value) for name, value in objective.options if name in small}
    return replace(objective, options=_override(objective.options, options(**narrow)))


def _known(table: dict[str, Any], name: str, kind: str) -> Any:
    if name not in table:
        mend = "Give it one in mtlrepro/suite/shrink.py"
        raise SpecError(f"no twin for {kind} {name!r} on the embedded scenes", field=kind, mend=mend)
    return table[name]


def _override(own: Options, over: Options) -> Options:
    return options(**{**dict(own), **dict(over)})
