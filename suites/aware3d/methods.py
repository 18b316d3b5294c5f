"""The 3D-aware regularizer's experiments as run specs (paper sections 4 and A, the protocols of its hosts).

What the paper leaves open is a setting of the objective and has its default there (`docs/3d-aware.md`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options

Specs = tuple[RunSpec, ...]

# Normals as InvPT's public code reads its 8-bit files: what is unknown is mid-grey there, and counts as a direction.
NYUD = DataSpec("nyuv2_invpt", (448, 576), "scale_flip_distort", options=options(unknown="direction"))
PASCAL = DataSpec("pascal_context", (512, 512), "scale_flip_distort")
VIDEO = replace(NYUD, extra=ExtraData("nyuv2_video", tasks=("depth",), augment="distort"))
"""The labelled images, and beside them frames whose depth alone is known, unscaled: another view must stay rigid."""

TASKS: dict[str, tuple[str, ...]] = {
    NYUD.name: ("semseg", "depth", "normals", "edges"),
    PASCAL.name: ("semseg", "parts", "saliency", "normals", "edges"),
}
"""Tasks of a dataset, in the order in which InvPT concatenates them."""

WEIGHTS = {"parts": 2.0, "saliency": 5.0, "normals": 10.0, "edges": 50.0}
"""Task weights of InvPT, which rendered predictions have, too (appendix A); other tasks weigh 1."""

# Errors of normals are summed over the three components, which is what their weight goes with.
LOSSES = {"saliency": "two_classes", "normals": "l1_sum"}
ATRC_LOSSES = {**LOSSES, "edges": "weighted_cross_entropy_80"}


@dataclass(frozen=True)
class Host:
    """A network that the regularizer is plugged into, with the recipe of its rows.

    Attributes:
        model: the network without its tasks.
        recipe: the same with and without the regularizer.
        front_end: whether all tasks are also auxiliary.
        reads: what the regularizer reads of the encoder where that is not its last map.
    """

    model: ModelSpec
    recipe: Recipe
    front_end: bool = False
    reads: tuple[tuple[str, Any], ...] = ()


HRNET = ModelSpec("", "hrnet48", (), weights="hrnet_w48.ms_in1k")

# 40,000 steps, the rate changes with every one of them (appendix A). InvPT: its public implementation.
ADAM = Recipe("adam", 2e-5, 1e-6, batch=6, epochs=0, schedule="poly", steps=40_000)
INVPT = Host(ModelSpec("invpt", "vit_l16", (), weights="vit_large_patch16_384.augreg_in21k_ft_in1k"), ADAM)
# Optimizer, rate, decay and batch of MTI-Net's public implementation; data, losses and length are InvPT's.
MTI_NET = Host(
    replace(HRNET, arch="mti_net"),
    replace(ADAM, lr=1e-4, weight_decay=1e-4, batch=8),
    front_end=True,
    reads=options(maps="all"),
)


def base(host: Host, data: DataSpec = NYUD) -> Specs:
    """A host alone."""
    return (_run(host, data),)


def ours(host: Host, data: DataSpec = NYUD, **settings: Any) -> Specs:
    """A host with the regularizer; `settings` say what is rendered, or from where."""
    return (_run(host, data, "aware3d", **dict(host.reads), **settings),)


def auxiliary_heads() -> Specs:
    """InvPT with a second set of decoders in place of the regularizer (table 4)."""
    return (_run(INVPT, NYUD, "auxiliary_heads"),)


def atrc() -> Specs:
    """ATRC by its authors' protocol: relations found for HRNet-48, pictures not padded, unknown normals left out."""
    recipe = replace(ADAM, optimizer="sgd", lr=1e-2, weight_decay=5e-4, batch=8)
    data = replace(NYUD, size=(425, 560), options=())
    return (_run(Host(replace(HRNET, arch="atrc"), recipe), data, "atrc", ATRC_LOSSES),)


def subset(percent: int) -> DataSpec:
    """A share of the labelled images, drawn once; smaller ones are part of larger ones (table 7)."""
    return replace(NYUD, percent=percent)


def merged(host: Host) -> Host:
    """The host in table 3: of a batch, half are labelled images and half video frames."""
    half = host.recipe.batch // 2
    return replace(host, recipe=replace(host.recipe, batch=half, extra=half))


def _run(
    host: Host, data: DataSpec, objective: str = "supervised", losses: Mapping[str, str] = LOSSES, **settings: Any
) -> RunSpec:
    tasks = TASKS[data.name]
    return RunSpec(
        data,
        replace(host.model, main=tasks, aux=tasks if host.front_end else ()),
        host.recipe,
        ObjectiveSpec(
            objective,
            weights=tuple((t, WEIGHTS[t]) for t in tasks if t in WEIGHTS),
            options=options(**settings),
            losses=tuple((t, losses[t]) for t in tasks if t in losses),
        ),
    )
