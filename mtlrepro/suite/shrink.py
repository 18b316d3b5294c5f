"""Pure functions that turn a paper-exact spec into its twin of a tier, by configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtlrepro.data.streams import UNLABELLED
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Options, Recipe, RunSpec, options

SMOKE_BACKBONES = {
    "hrnet18": "hrnet_nano",
    "hrnet48": "hrnet_nano",
    "segnet": "segnet_nano",
    "resnet18_fpn": "fpn_nano",
    "resnet50_fpn": "fpn_nano",
    "resnet18_os8": "resnet_nano",
    "resnet50_os8": "resnet_nano",
    "resnet50_os16": "resnet_nano",
    "resnet101_os16": "resnet_nano_os16",
    "vit_b16": "vit_nano",
    "vit_l16": "vit_nano",
    "mask2former_swin_s": "mask2former_nano",
}
SMOKE_POSE = {"resnet18": "resnet18_nano"}
NARROW = options(widths=(8, 16, 16, 24, 24))
SMOKE_MODEL_OPTIONS: dict[str, Options] = {
    "padnet": options(width=32),
    "deeplab": options(width=16),
    "deeplab_single": options(width=16),
    "cross_stitch": options(width=16),
    "three_ways": NARROW,
    "dense_mtl": NARROW,
    "invpt": options(width=24, prediction_width=8),
    "mt_cp": options(narrowing=(1, 1), gate_momentum=0.1),
    "mt_cp_single": options(narrowing=(1, 1)),
}
WIDER = 8
"""How many times as wide the paper's networks are, where a spec gives an architecture widths of its own."""

SMOKE_AUGMENT = {
    "flip_zoom": "flip",
    "crop_photo": "flip_photo",
    "flip_crop_photo": "flip_photo",
    "flip_cut": "flip",
    "flip_rotate": "flip",
    "scale_flip_distort": "flip",
    "distort": "none",
}
"""Without a camera's fixed focal length a zoomed room's depth is ambiguous; a few hundred steps do not resolve that.
Embedded scenes have the network's size: nothing is cut from them."""


@dataclass(frozen=True)
class Scenes:
    """Embedded scenes that stand for a paper's dataset.

    Attributes:
        name: dataset key.
        options: its settings.
        keeps: settings of the paper's dataset that the scenes have, too, and take over.
    """

    name: str
    options: Options = ()
    keeps: tuple[str, ...] = ()

    def chosen(self, paper: Options, *also: str) -> Options:
        """Settings of the scenes for those of the paper's dataset."""
        return _override(self.options, tuple((k, v) for k, v in paper if k in (*self.keeps, *also)))


ROOMS = options(classes=13)
ROOMS_13 = Scenes("scenes", ROOMS)
PEOPLE = Scenes("scenes_pascal", ROOMS)
STREETS = Scenes("streets")
TASKONOMY = Scenes("scenes_taskonomy", ROOMS)


def _drives(**settings: Any) -> Scenes:
    return Scenes("drives", options(**settings), keeps=("classes", "normals"))


KITTI, GAME, PHOTO = _drives(style="kitti", classes=14), _drives(style="game"), _drives(style="photo")
SEQUENCE = _drives(style="photo", frames=True)


@dataclass(frozen=True)
class SmokeTwin:
    """What the smoke runs of a dataset are made on.

    Attributes:
        scenes: embedded scenes.
        size: (height, width) of images and labels.
        train: training samples.
        batch: most samples a step.
        epochs: passes over as many labelled samples.
        lr_factor: learning rate as a multiple of the usual one.
    """

    scenes: Scenes
    size: tuple[int, int]
    train: int = 192
    batch: int = 4
    epochs: int = 4
    lr_factor: float = 1.0


SMOKE_VAL = 48
# JTR's tables are 93 runs, most with several views and networks: small images.
SMOKE_DATA = {
    "nyuv2": SmokeTwin(ROOMS_13, (64, 96)),
    "nyuv2_13": SmokeTwin(ROOMS_13, (32, 64), train=128, epochs=6),
    "nyuv2_invpt": SmokeTwin(ROOMS_13, (64, 96)),
    "pascal_context": SmokeTwin(PEOPLE, (64, 96)),
    "cityscapes_7": SmokeTwin(STREETS, (32, 64), train=128, epochs=6),
    "taskonomy": SmokeTwin(TASKONOMY, (32, 32), batch=8, epochs=12),  # a seventh of the labels, noisy maps
    "virtual_kitti2": SmokeTwin(KITTI, (64, 128), lr_factor=2.0),
    "synthia": SmokeTwin(GAME, (64, 128)),
    "cityscapes": SmokeTwin(PHOTO, (64, 128)),
    "cityscapes_sequence": SmokeTwin(SEQUENCE, (64, 128)),
}
"""Paper's dataset -> its smoke twin."""

SMOKE_LR = {
    ("adam", False): 4e-3,
    ("adam", True): 4e-3,
    ("adam_b98", False): 1e-3,
    ("adam_b98", True): 1e-3,
    ("adamw", False): 3e-3,
    ("sgd", False): 2e-4,
    ("sgd", True): 5e-3,
}
"""Smoke runs make a few hundred steps from random weights: the papers' fine-tuning rates would not move them. By
optimizer and whether gradients are clipped; one rate for encoder and heads, both of which are new."""

SMOKE_LR_FACTOR = {("atrc", "sgd"): 50.0, ("stl", "sgd"): 250.0, ("mtl", "sgd"): 50.0}
"""Architecture and optimizer -> factor of that: SGD's rate without clipping is for losses a hundred times as large as
ATRC's and those of MTI-Net's baselines, in which edges weigh 50, or in a network of their own 1."""


@dataclass(frozen=True)
class Pace:
    """How a training of smoke runs differs from that of other networks' twins.

    Attributes:
        samples: factor of the number of training samples.
        epochs: factor of the number of passes over them.
        batch: images a step; 0 for as many as the paper and the dataset's twin allow.
    """

    samples: float = 1.0
    epochs: float = 1.0
    batch: int = 0


ROOMS_PACE = Pace(samples=2 / 3, epochs=1.5, batch=4)
PEOPLE_PACE = replace(ROOMS_PACE, epochs=5.0)
SMOKE_PACE = {
    ("mt_cp", "nyuv2"): ROOMS_PACE,
    ("mt_cp_single", "nyuv2"): ROOMS_PACE,
    ("mt_cp", "pascal_context"): PEOPLE_PACE,
    ("mt_cp_single", "pascal_context"): PEOPLE_PACE,
}
"""Architecture and dataset -> pace. MT-CP's loss weights change with every epoch and look back at three of them; from
batches of two, as in the paper, running averages do not settle in a few hundred steps; and parts of persons, a few
pixels in every picture, take some hundred steps more to be found at all."""

TWIN_ADVERSARY = 10.0
"""Factor of discriminators' rates at smoke and bench, where networks learn faster, too."""

SMOKE_LOSSES = {"inverse_berhu": "inverse_berhu_64"}
"""The same loss of an output in another unit: a few hundred steps do not make a network's outputs grow to 650."""

SMOKE_OBJECTIVE_OPTIONS: dict[str, Options] = {
    "aware3d": options(channels=16, hidden=48, field_hidden=16, samples=16),
}
"""Networks of objectives whose sizes are defaults, which specs do not spell; planes are as many cells as samples."""

SMOKE_SCHEDULE = "poly"
"""A short training ends slowly, or the running statistics of deep networks lag behind weights that still move."""

BENCH_TRAIN, BENCH_VAL = 240, 60
BENCH_DATA = {
    "nyuv2": Scenes("scenes"),
    "nyuv2_13": ROOMS_13,
    "nyuv2_invpt": Scenes("scenes"),
    "pascal_context": Scenes("scenes_pascal"),
    "cityscapes_7": STREETS,
    "taskonomy": TASKONOMY,
    "virtual_kitti2": KITTI,
    "synthia": GAME,
    "cityscapes": PHOTO,
    "cityscapes_sequence": SEQUENCE,
}
"""Paper's dataset -> embedded scenes of its bench twin, at the paper's image size."""

TWIN_EXTRA = {
    "nyuv2_depth": Scenes("scenes", options(classes=13, seed=1)),
    "nyuv2_video": Scenes("scenes", options(classes=13, seed=1, frames=True)),
}
"""Second stream that nothing is trained or evaluated on by itself -> other rooms than the labelled ones."""

SIZES = ("size", "resized")
"""Settings of readers that are a (height, width)."""

BENCH_EPOCHS = 12
BENCH_LR_FACTOR = {"adam": 10.0, "adam_b98": 10.0, "adamw": 10.0, "sgd": 1.0}
"""Bench runs are short, and start from random weights; ten times SGD's rates, which are high already, diverge. An
encoder that the paper keeps frozen at its pretrained weights is trained."""

REHEARSAL_EPOCHS = 2
REHEARSAL_AUGMENT = {"scale_flip_distort": "scale_flip_distort_small", "distort": "distort_small"}
"""Pictures are larger than a small network's input: they cannot be padded to it."""

SMOKE_REGULARISER = 0.1
"""Factor of regularisers' weights: what is hardly trained pulls less at predictions that are hardly formed."""

SMOKE_NARROWER = 16
"""Auxiliary networks of objectives become so many times narrower; their bottleneck is then that of `segnet_nano`."""


def smoke(spec: RunSpec) -> RunSpec:
    """The smoke twin: embedded scenes, small image, small networks from random weights, a few hundred steps."""
    pace = SMOKE_PACE.get((spec.model.arch, spec.data.name), Pace())
    return replace(
        spec,
        data=_smoke_data(spec.data, pace),
        model=_smoke_model(spec.model),
        recipe=_smoke_recipe(spec.recipe, spec.data, _lr_factor(spec), pace),
        objective=_smoke_objective(spec.objective),
        needs=tuple(map(smoke, spec.needs)),
    )


def bench(spec: RunSpec) -> RunSpec:
    """The bench twin: the paper's exact model, batch and resolution on embedded scenes, a short training."""
    recipe, factor = spec.recipe, _known(BENCH_LR_FACTOR, spec.recipe.optimizer, "optimizer")
    return replace(
        spec,
        data=_embedded(spec.data, BENCH_DATA, BENCH_TRAIN, BENCH_VAL, "size"),
        model=replace(spec.model, weights=None),
        recipe=replace(
            recipe,
            lr=recipe.lr * factor,
            encoder_lr=recipe.encoder_lr * factor if recipe.encoder_lr else None,
            epochs=BENCH_EPOCHS,
            steps=0,
            evaluate_every=min(recipe.evaluate_every, BENCH_EPOCHS),
        ),
        objective=_from_random(spec.objective),
        needs=tuple(map(bench, spec.needs)),
    )


def full(spec: RunSpec) -> RunSpec:
    """The paper's run itself."""
    return spec


def rehearsal(spec: RunSpec) -> RunSpec:
    """The paper's run on its own files, read and transformed as in the paper, but small and short as a smoke twin."""
    small, data, size = smoke(spec), spec.data, _known(SMOKE_DATA, spec.data.name, "dataset").size
    augment = {name: REHEARSAL_AUGMENT.get(name, name) for name in (data.augment, data.extra.augment)}
    data = replace(
        data,
        size=size,
        augment=augment[data.augment],
        options=_scaled(data.options, data.size, size),
        val_options=_scaled(data.val_options, data.size, size),
        extra=replace(
            data.extra,
            options=_scaled(data.extra.options, data.size, size),
            augment=augment[data.extra.augment],
        ),
    )
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


def _embedded(data: DataSpec, table: Mapping[str, Scenes], train: int, val: int, *also: str) -> DataSpec:
    """A data spec on embedded scenes: those that are trained on, those beside them, those that are evaluated on."""
    scenes, extra = _known(table, data.name, "dataset"), data.extra
    if extra.name not in ("", UNLABELLED):
        beside = _known({**table, **TWIN_EXTRA}, extra.name, "dataset")
        extra = replace(extra, name=beside.name, train=train, options=beside.chosen(extra.options, *also))
    judged = _known(table, data.val_name, "dataset") if data.val_name else Scenes("")
    return replace(
        data,
        name=scenes.name,
        train=train,
        val=val,
        options=scenes.chosen(data.options, *also),
        extra=extra,
        val_name=judged.name,
        val_options=judged.chosen(data.val_options, *also),
    )


def _smoke_data(data: DataSpec, pace: Pace) -> DataSpec:
    twin: SmokeTwin = _known(SMOKE_DATA, data.name, "dataset")
    small = _embedded(
        data, {name: t.scenes for name, t in SMOKE_DATA.items()}, round(pace.samples * twin.train), SMOKE_VAL
    )
    augment = {spec: SMOKE_AUGMENT.get(spec, spec) for spec in (data.augment, data.extra.augment)}
    extra = replace(small.extra, augment=augment[data.extra.augment])
    return replace(small, size=twin.size, augment=augment[data.augment], extra=extra)


def _scaled(chosen: Options, old: tuple[int, int], new: tuple[int, int]) -> Options:
    """Settings of a reader whose sizes shrink as the network's input does."""
    return options(
        **{
            name: (value[0] * new[0] // old[0], value[1] * new[1] // old[1]) if name in SIZES else value
            for name, value in chosen
        }
    )


def _smoke_model(model: ModelSpec) -> ModelSpec:
    narrow = tuple((k, tuple(max(1, w // WIDER) for w in v)) for k, v in model.options if k == "widths")
    return replace(
        model,
        backbone=_known(SMOKE_BACKBONES, model.backbone, "backbone"),
        weights=None,
        options=_override(_override(model.options, narrow), SMOKE_MODEL_OPTIONS.get(model.arch, ())),
    )


def _smoke_recipe(recipe: Recipe, data: DataSpec, lr_factor: float, pace: Pace) -> Recipe:
    twin: SmokeTwin = _known(SMOKE_DATA, data.name, "dataset")
    # As many steps however few samples are labelled or used.
    epochs = round(pace.epochs * twin.epochs * 100 / (100 - data.unlabelled) * 100 / data.percent)
    return replace(
        recipe,
        lr=lr_factor * twin.lr_factor * _known(SMOKE_LR, (recipe.optimizer, recipe.clip > 0), "optimizer"),
        encoder_lr=None,
        steps=0,
        schedule=SMOKE_SCHEDULE,
        batch=pace.batch or min(recipe.batch, twin.batch),
        epochs=epochs,
        evaluate_every=min(recipe.evaluate_every, 1) * (epochs // 2),
    )


def _lr_factor(spec: RunSpec) -> float:
    return SMOKE_LR_FACTOR.get((spec.model.arch, spec.recipe.optimizer), 1.0)


def _smoke_objective(objective: ObjectiveSpec) -> ObjectiveSpec:
    small: dict[str, Callable[[Any], Any]] = {
        "weight": lambda weight: weight * SMOKE_REGULARISER,
        "distance_weight": lambda weight: weight * SMOKE_REGULARISER,
        "widths": lambda widths: tuple(width // SMOKE_NARROWER for width in widths),
        "encoder": lambda name: _known(SMOKE_BACKBONES, name, "encoder"),
        "pose": lambda name: _known(SMOKE_POSE, name, "pose network"),
        "pose_lr_factor": lambda factor: 1.0,  # as new as the rest
    }
    fixed = SMOKE_OBJECTIVE_OPTIONS.get(objective.name, ())
    objective = _from_random(objective)
    narrow = {name: small[name](value) for name, value in objective.options if name in small}
    losses = tuple((task, SMOKE_LOSSES.get(loss, loss)) for task, loss in objective.losses)
    return replace(objective, losses=losses, options=_override(_override(objective.options, options(**narrow)), fixed))


def _from_random(objective: ObjectiveSpec) -> ObjectiveSpec:
    """What an objective owns starts from random weights in twins, too, and adversaries keep up with the network."""
    changed: dict[str, Callable[[Any], Any]] = {"pose_weights": lambda tag: None, "lr": lambda lr: lr * TWIN_ADVERSARY}
    return replace(objective, options=tuple((k, changed[k](v) if k in changed else v) for k, v in objective.options))


def _known(table: Mapping[Any, Any], name: Any, kind: str) -> Any:
    if name not in table:
        mend = "Give it one in mtlrepro/suite/shrink.py"
        raise SpecError(f"no twin for {kind} {name!r} on the embedded scenes", field=kind, mend=mend)
    return table[name]


def _override(own: Options, over: Options) -> Options:
    return options(**{**dict(own), **dict(over)})
