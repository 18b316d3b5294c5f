"""DenseMTL's experiments as run specs (paper sections 4 and B; its public implementation where the paper is silent)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite.table import Row

Specs = tuple[RunSpec, ...]

SD = ("semseg", "depth")
SDN = ("semseg", "depth", "normals")
SDNE = ("semseg", "depth", "normals", "edges")

WEIGHTS: dict[tuple[str, ...], tuple[float, ...]] = {SD: (50, 1), SDN: (100, 1, 100), SDNE: (100, 1, 100, 50)}
"""Task weights of section 4.1; a network of one task has weight 1."""

LOSSES = {"depth": "inverse_berhu", "normals": "cosine", "edges": "two_classes"}

# Labels come at the size of the network's input and are judged there. Split and normals as in the public code.
VKITTI2 = DataSpec(
    "virtual_kitti2", (320, 1024), "flip", normalise="centred", options=options(normals="released", policy="released")
)
SYNTHIA = replace(VKITTI2, name="synthia", size=(512, 1024))
CITYSCAPES = replace(SYNTHIA, name="cityscapes", options=options(classes=16, normals="released"))
NYUD = DataSpec(
    "nyuv2_invpt", (448, 576), "flip", normalise="centred", options=options(resized=(448, 576), unknown="direction")
)

# 40,000 steps of two images, a tenth of the rates from 30,000 on, gradients of norm 10 at most (section 4.1).
SGD = Recipe("sgd", 1e-2, 5e-4, batch=2, epochs=0, schedule="drop", steps=40_000, encoder_lr=1e-3, clip=10.0)
ADAM = replace(SGD, optimizer="adam_b98", lr=3e-4, weight_decay=0.0, encoder_lr=2e-4)
ADAM_CITYSCAPES = replace(ADAM, lr=1e-4, encoder_lr=1e-5)
"""The released configuration; the paper names the rates of `ADAM` for all datasets."""

ENCODER = ModelSpec("deeplab", "resnet101_os16", (), weights="resnet101.tv_in1k")
DEEPLAB = replace(ENCODER, options=options(aligned=False))
PADNET = replace(ENCODER, arch="padnet", options=options(maps="last"))
THREE_WAYS = replace(ENCODER, arch="three_ways")
OURS = replace(ENCODER, arch="dense_mtl")


def single_task(data: DataSpec, tasks: Sequence[str], recipe: Recipe = SGD) -> Specs:
    """STL: one network a task."""
    return tuple(_run(data, DEEPLAB, (task,), recipe) for task in tasks)


def multi_task(data: DataSpec, tasks: tuple[str, ...], weights: Sequence[float] = (), recipe: Recipe = SGD) -> Specs:
    """MTL: a shared encoder, a head a task; other task weights than the usual ones in table 7."""
    return (_run(data, DEEPLAB, tasks, recipe, weights),)


def pad_net(data: DataSpec, tasks: tuple[str, ...]) -> Specs:
    """PAD-Net on the encoder's last map."""
    return (_run(data, replace(PADNET, aux=tasks), tasks, SGD),)


def three_ways(data: DataSpec, tasks: tuple[str, ...]) -> Specs:
    """3-ways PAD-Net: PAD-Net's distillation between U-Net-like decoders."""
    return (_run(data, THREE_WAYS, tasks, SGD),)


def ours(data: DataSpec, tasks: tuple[str, ...], **block: Any) -> Specs:
    """Cross-task attention between the decoders; `block` says where the blocks stand and what they are."""
    recipe = ADAM_CITYSCAPES if data.name == "cityscapes" else ADAM
    return (_run(data, replace(OURS, options=options(**block)), tasks, recipe),)


METHODS: dict[str, Callable[[DataSpec, tuple[str, ...]], Specs]] = {
    "STL [27]": single_task,
    "MTL [27]": multi_task,
    "PAD-Net [33]": pad_net,
    "3-ways PAD-Net [12]": three_ways,
    "Ours": ours,
}
"""Methods by the names that tables print."""


def methods(panel: str, data: DataSpec, tasks: tuple[str, ...]) -> list[Row]:
    """The rows of a panel of table 1 or 2."""
    return [Row(name, build(data, tasks), panel=panel) for name, build in METHODS.items()]


def reference(tasks: tuple[str, ...], panel: str = "") -> Row:
    """STL on VKITTI2, which the Δ of tables 3, 4, 7 and A.2 refer to and which they do not print."""
    return Row("STL [27]", single_task(VKITTI2, tasks), panel=panel)


def weighted(tasks: tuple[str, ...], *grid: tuple[float, ...]) -> list[Row]:
    """Table 7: the multi-task baseline under other task weights; two of them are printed with a third."""
    return [
        Row(" / ".join(f"{w:g}" for w in (*weights, 1.0)[:3]), multi_task(VKITTI2, tasks, weights)) for weights in grid
    ]


# --- self-supervised depth (section 4.4, B.2) ------------------------------------------------------------------------

SEQUENCE = DataSpec(
    "cityscapes_sequence",
    (512, 512),
    "flip_cut",
    normalise="centred",
    options=options(classes=16, normals="released", size=(512, 1024)),
)
SIDES = (("semseg", (2,)), ("depth", (3, 2, 1)))
DISPARITY = {"sides": SIDES, "sigmoid": ("depth",)}
SDE = Recipe("adam", 5e-5, 0.0, batch=2, epochs=0, schedule="drop", steps=40_000, encoder_lr=1e-5, clip=10.0)


def self_supervised(network: ModelSpec) -> Specs:
    """Segmentation from labels and depth from video, from the weights of a network that learnt depth alone."""
    model = replace(network, main=SD, options=options(**DISPARITY))
    return (RunSpec(SEQUENCE, model, SDE, _video(pose_lr_factor=0.02), needs=(depth_alone(),), start=True),)


def depth_alone() -> RunSpec:
    """What the networks of table 5 start from: depth from video alone, first with a frozen encoder.

    300,000 steps with the encoder as it was pretrained, then 50,000 of everything, in which the encoder's last map
    is held near its pretrained one. The public code takes every frame of the videos, changes colours and trains the
    second phase in mixed precision; here it is the labelled frames and their neighbours, as they are, in float32.
    """
    model = replace(OURS, main=("depth",), options=options(sides=SIDES[1:], sigmoid=("depth",)))
    frozen = replace(SDE, lr=1e-4, encoder_lr=0.0, batch=4, steps=300_000, schedule="drop_early", clip=0.0)
    first = RunSpec(SEQUENCE, model, frozen, _video())
    whole = replace(frozen, lr=1e-5, encoder_lr=None, steps=50_000, schedule="constant")
    return RunSpec(SEQUENCE, model, whole, _video(feature_weight=1e-2), needs=(first, first), start=True)


def _video(**settings: Any) -> ObjectiveSpec:
    pose = {"pose": "resnet18", "pose_weights": "resnet18.tv_in1k", **settings}
    return ObjectiveSpec("self_supervised", options=options(**pose), losses=(("depth", "disparity"),))


# --- domain adaptation (section 4.5, B.3) ----------------------------------------------------------------------------

SOURCES: dict[int, DataSpec] = {
    16: replace(SYNTHIA, options=options(normals="released", policy="all")),
    8: replace(
        VKITTI2,
        size=(512, 1024),
        augment="flip_cut",
        options=options(classes=8, normals="released", policy="all", size=(512, 1696)),
    ),
}
"""Where labels come from, by the number of classes; Virtual KITTI's wider pictures are cut."""

# 90,000 steps at constant rates, without clipping; optimizer and rates of the baselines are those of the other tables.
ADAPT_SGD = replace(SGD, schedule="constant", steps=90_000, clip=0.0)
ADAPT_ADAM = replace(ADAM, lr=2.5e-4, encoder_lr=1.5e-5, schedule="constant", steps=90_000, clip=0.0)
DISCRIMINATOR_LR, WIDTHS = 1e-4, (64, 128, 256, 512)
"""Learning rate of the discriminators, and their widths."""


def target_only(classes: int, tasks: tuple[str, ...], single: bool) -> Specs:
    """Trained on the target's own labels, as in table 1."""
    data = replace(CITYSCAPES, options=options(classes=classes, normals="released"))
    if not single:
        return multi_task(data, tasks)
    labels = {"semseg": data, "depth": CITYSCAPES}  # a network for depth knows nothing of classes
    return tuple(spec for task in tasks for spec in single_task(labels[task], (task,)))


def adaptation(classes: int, single: bool = False, network: ModelSpec = DEEPLAB, adapted: bool = True) -> Specs:
    """Trained on the source's labels, and on the target's images where `adapted`; evaluated on the target."""
    target = options(classes=classes, normals="released")
    data = replace(SOURCES[classes], val_name="cityscapes", val_options=target)
    recipe, scales = (ADAPT_ADAM, ("stage1",)) if network.arch == OURS.arch else (ADAPT_SGD, ())
    settings: dict[str, Any] = {}
    if adapted:
        data = replace(data, extra=ExtraData("cityscapes", options=target, augment="flip"))
        settings = {"scales": scales, "widths": WIDTHS, "lr": DISCRIMINATOR_LR}
        recipe = replace(recipe, extra=2)
    name = "adaptation" if adapted else "multi_scale"
    sets = [(task,) for task in SD] if single else [SD]
    return tuple(_run(data, network, tasks, recipe, objective=name, **settings) for tasks in sets)


def adapted_rows(classes: int) -> list[Row]:
    """The rows of table 6."""
    return [
        Row("STL target", target_only(classes, SD, single=True)),
        Row("STL source", adaptation(classes, single=True, adapted=False)),
        Row("MTL target", target_only(classes, SD, single=False)),
        Row("STL-UDA", adaptation(classes, single=True)),
        Row("MTL source", adaptation(classes, adapted=False)),
        Row("MTL-UDA", adaptation(classes)),
        Row("Ours", adaptation(classes, network=OURS)),
    ]


def _run(
    data: DataSpec,
    network: ModelSpec,
    tasks: tuple[str, ...],
    recipe: Recipe,
    weights: Sequence[float] = (),
    objective: str = "multi_scale",
    **settings: Any,
) -> RunSpec:
    chosen = weights or WEIGHTS.get(tasks, (1,) * len(tasks))
    return RunSpec(
        data,
        replace(network, main=tasks),
        recipe,
        ObjectiveSpec(
            objective,
            weights=tuple((t, w) for t, w in zip(tasks, chosen, strict=True) if w != 1),
            options=options(**settings),
            losses=tuple((t, LOSSES[t]) for t in tasks if t in LOSSES),
        ),
    )
