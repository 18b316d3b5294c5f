"""MTI-Net's experiments as run specs (paper sections 3.1 and A.2; its public implementation where the paper is silent).

What the two disagree on, and which of them a row follows, is in `expected/mti_net/findings.toml` and `docs/mti-net.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite.table import Row

Specs = tuple[RunSpec, ...]
Tasks = tuple[str, ...]

NYUD = DataSpec("nyuv2", size=(480, 640), augment="flip_zoom")
PASCAL = DataSpec("pascal_context", (512, 512), "flip_rotate")

HRNET18 = ModelSpec("", "hrnet18", (), weights="hrnet_w18_small_v2.ms_in1k")
HRNET48 = ModelSpec("", "hrnet48", (), weights="hrnet_w48.ms_in1k")
R18_FPN = ModelSpec("", "resnet18_fpn", (), weights="resnet18.tv_in1k")
R50_FPN = ModelSpec("", "resnet50_fpn", (), weights="resnet50.tv_in1k")
"""Backbones with their initial weights; of networks on an FPN more is a guess (`mtlrepro.models.fpn`)."""

SD = ("semseg", "depth")
SMALL = ("semseg", "parts", "saliency")
COMPLETE = (*SMALL, "normals", "edges")

N = ("normals",)
E = ("edges",)
NE = ("normals", "edges")

# A.2: Adam, 1e-4, batches of 6, 80 epochs, poly decay. The weight decay is that of the public reference implementation,
# as are batches and lengths on PASCAL, where single tasks and the multi-task baseline take SGD at 0.01.
ADAM = Recipe("adam", lr=1e-4, weight_decay=1e-4, batch=6, epochs=80, schedule="poly")
SGD = replace(ADAM, optimizer="sgd", lr=1e-2, batch=8, epochs=60)
RELEASED = {SD: replace(ADAM, batch=8, epochs=100), SMALL: replace(ADAM, batch=8, epochs=80)}
RELEASED[COMPLETE] = RELEASED[SD]
"""Main tasks -> recipe of networks of several tasks in the public implementation."""


@dataclass(frozen=True)
class Setting:
    """How networks with a set of main tasks are trained.

    Attributes:
        data: the dataset.
        order: all tasks that a front-end may have, in the order in which their features are concatenated.
        plain: recipe of the single-task networks and of the multi-task baseline.
        deep: recipe of networks with a front-end.
        weights: of task losses in networks of several tasks; others, and the loss of a single task, weigh 1.
    """

    data: DataSpec
    order: tuple[str, ...]
    plain: Recipe
    deep: Recipe
    weights: Mapping[str, float]


ASTMT_WEIGHTS = {"parts": 2.0, "saliency": 5.0, "normals": 10.0, "edges": 50.0}
RELEASED_WEIGHTS = (("normals", 10.0), ("edges", 50.0))

SETTINGS = {
    SD: Setting(NYUD, ("semseg", "normals", "edges", "depth"), ADAM, ADAM, {}),
    SMALL: Setting(PASCAL, COMPLETE, SGD, RELEASED[SMALL], ASTMT_WEIGHTS),
    COMPLETE: Setting(PASCAL, COMPLETE, SGD, RELEASED[COMPLETE], ASTMT_WEIGHTS),
}
"""Main tasks -> setting."""

PAD_NET_ON = {R18_FPN.backbone: options(maps="first")}
"""What PAD-Net's initial heads read of a pyramid: its finest map. The paper compares with it there and does not say."""


def single_task(backbone: ModelSpec = HRNET18, main: Tasks = SD) -> Specs:
    """One network a task; where parts are alone they are learnt and judged on images with people."""
    people = {"parts": replace(PASCAL, options=options(with_people=True))}
    setting = SETTINGS[main]
    return tuple(
        RunSpec(people.get(task, setting.data), replace(backbone, arch="stl", main=(task,)), setting.plain)
        for task in main
    )


def multi_task(backbone: ModelSpec = HRNET18, main: Tasks = SD) -> Specs:
    """Shared encoder, task-specific heads."""
    return _run(replace(backbone, arch="mtl", main=main), SETTINGS[main].plain)


def pad_net(extra: Tasks = (), backbone: ModelSpec = HRNET18, main: Tasks = SD) -> Specs:
    """PAD-Net with auxiliary tasks besides the main ones."""
    model = replace(backbone, arch="padnet", main=main, options=PAD_NET_ON.get(backbone.backbone, ()))
    return _run(_with_front_end(model, extra), SETTINGS[main].deep)


def mti_net(extra: Tasks = (), backbone: ModelSpec = HRNET18, main: Tasks = SD, **settings: Any) -> Specs:
    """MTI-Net; `fpm=False` leaves the feature propagation out, `scales=n` keeps the n finest scales."""
    model = replace(backbone, arch="mti_net", main=main, options=options(**settings))
    return _run(_with_front_end(model, extra), SETTINGS[main].deep)


def weighted(specs: Specs) -> Specs:
    """The same with the public implementation's weights of auxiliary losses on NYUD-v2; the paper adds losses up."""
    return tuple(replace(spec, objective=ObjectiveSpec(weights=RELEASED_WEIGHTS)) for spec in specs)


def released(specs: Specs) -> Specs:
    """The same by the public implementation's recipe: optimizer, rate, batch and length."""
    return tuple(replace(spec, recipe=RELEASED[spec.model.main]) for spec in specs)


def _with_front_end(model: ModelSpec, extra: Tasks) -> ModelSpec:
    return replace(model, aux=tuple(t for t in SETTINGS[model.main].order if t in (*model.main, *extra)))


def _run(model: ModelSpec, recipe: Recipe) -> Specs:
    setting = SETTINGS[model.main]
    weights = tuple((t, setting.weights[t]) for t in model.aux or model.main if t in setting.weights)
    objective = ObjectiveSpec(weights=weights)
    return (RunSpec(setting.data, model, recipe, objective),)


def ablation(without_fpm: str, with_fpm: str) -> list[Row]:
    """The rows that Tables 2a, S2a and S2b share; the tables spell MTI-Net's two variants differently."""
    return [
        *_baselines(HRNET18),
        Row(without_fpm, mti_net(fpm=False)),
        Row(f"{without_fpm} (N)", mti_net(N, fpm=False)),
        Row(f"{without_fpm} (N+E)", mti_net(NE, fpm=False)),
        Row(with_fpm, mti_net()),
        Row(f"{with_fpm} (N)", mti_net(N)),
        Row(f"{with_fpm} (N+E)", mti_net(NE)),
    ]


def on_fpn() -> list[Row]:
    """The rows that Tables S3a, S3b and S3c share."""
    ours = [
        Row("Ours", mti_net((), R18_FPN)),
        Row("Ours (N)", mti_net(N, R18_FPN)),
        Row("Ours (N+E)", mti_net(NE, R18_FPN)),
    ]
    return [*_baselines(R18_FPN), *ours]


def _baselines(backbone: ModelSpec) -> list[Row]:
    return [
        Row("Single task", single_task(backbone)),
        Row("MTL", multi_task(backbone)),
        Row("PAD-Net", pad_net((), backbone)),
        Row("PAD-Net (N)", pad_net(N, backbone)),
        Row("PAD-Net (N+E)", pad_net(NE, backbone)),
    ]


def pascal_ablation(backbone: ModelSpec) -> list[Row]:
    """The rows that Tables 2b and S1 share: the small and the complete set of tasks, auxiliary tasks."""
    return [
        Row("Single task", single_task(backbone, COMPLETE)),
        Row("MTL (s)", multi_task(backbone, SMALL)),
        Row("MTL (a)", multi_task(backbone, COMPLETE)),
        Row("Ours (s)", mti_net((), backbone, SMALL)),
        Row("Ours (s)(E)", mti_net(E, backbone, SMALL)),
        Row("Ours (s)(N)", mti_net(N, backbone, SMALL)),
        Row("Ours (s)(E+N)", mti_net(NE, backbone, SMALL)),
        Row("Ours (a)", mti_net((), backbone, COMPLETE)),
    ]


def state_of_the_art() -> list[Row]:
    """The rows of Tables 6a and 6b that were run; which auxiliary tasks MTI-Net has there is not printed."""
    ours = "Ours - HRNet48-V2"
    return [
        Row("ST - HRNet48-V2", single_task(HRNET48)),
        Row(ours, mti_net(NE, HRNET48)),
        Row("Ours, no auxiliary tasks", mti_net((), HRNET48), reading_of=ours),
    ]
