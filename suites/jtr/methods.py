"""JTR's experiments as run specs (paper sections 4 and 6; its public implementation where the paper is silent)."""

from dataclasses import replace
from typing import Any

from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite.table import Row

Specs = tuple[RunSpec, ...]

NYU_TASKS = ("semseg", "depth", "normals")
CITY_TASKS = ("semseg", "depth")
TASKONOMY_TASKS = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")

# Photometric changes on every view (section 6.3); no mean and deviation are taken off images anywhere.
NYU = DataSpec("nyuv2_13", (288, 384), "crop_photo", normalise="none", labels_over=NYU_TASKS)
CITY = DataSpec("cityscapes_7", (128, 256), "flip_crop_photo", normalise="none", labels_over=CITY_TASKS)
TASKONOMY = DataSpec("taskonomy", (256, 256), "crop_photo", normalise="none", labels_over=TASKONOMY_TASKS)

# Adam at 1e-4, halved at half time, 400 epochs: as many updates as MTPSL's 200 epochs of half the batch.
RECIPE = Recipe("adam", 1e-4, 0.0, batch=4, epochs=400, schedule="halve", evaluate_every=1, drop_last=False)
RECIPES = {
    "nyuv2_13": RECIPE,
    "cityscapes_7": replace(RECIPE, batch=16),
    "taskonomy": replace(RECIPE, batch=8, epochs=20),
}
WEIGHTS = {"taskonomy": options(depth=0.512)}
"""Taskonomy's standardised depth counts (raw - 1500) / 1000 of 1/512 m: an error of 1 m is one of 0.512."""

SEGNET = ModelSpec("segnet", "segnet", ())
RESNET = ModelSpec("deeplab", "resnet50_os8", (), weights="resnet50.tv_in1k")

WIDTHS = (64, 128, 256, 512, 512)
"""Of a SegNet's stages; the last is the bottleneck."""

MTPSL_SETTINGS: dict[str, dict[str, float]] = {
    "nyuv2_13": {"weight": 2.0, "film_lr_factor": 10.0},
    "cityscapes_7": {"weight": 1.0, "film_lr_factor": 0.1},
    "taskonomy": {"weight": 2.0, "film_lr_factor": 10.0},
}
"""MTPSL's public settings by dataset; Taskonomy's are not known."""

SQUASHED = {"taskonomy": {"depth_mean": 1500 / 512, "depth_std": 1000 / 512}}
"""JTR squashes depth by the normal law of its standardisation; NYUv2's is the default, also on Cityscapes."""


def labelled(data: DataSpec, setting: str, unlabelled: int = 0) -> DataSpec:
    """Partial labels; with a percentage of unlabelled images, those are a stream of their own (section 6.2)."""
    beside = ExtraData("unlabelled") if unlabelled else ExtraData()
    return replace(data, labels=setting, unlabelled=unlabelled, extra=beside)


def depth_extended(data: DataSpec) -> DataSpec:
    """47,584 more images that are labelled with depth alone (section 4.3)."""
    return replace(data, extra=ExtraData("nyuv2_depth", ("depth",)))


def supervised(data: DataSpec, network: ModelSpec = SEGNET) -> Specs:
    """The multi-task network on the labels there are; images without any are left out."""
    spec = _run(data, network, "partial")
    return (spec if data.extra.tasks else replace(spec, recipe=RECIPES[data.name]),)


def consistency(data: DataSpec, network: ModelSpec = SEGNET) -> Specs:
    """Consistency regularisation between two views (eq. 2)."""
    return (_run(data, network, "consistency", weight=1.0),)


def mtpsl(data: DataSpec, network: ModelSpec = SEGNET, **settings: Any) -> Specs:
    """Pairs of tasks compared in spaces of their own (eq. 3)."""
    beside = {} if network is SEGNET else {"encoder": network.backbone}
    return (_run(data, network, "mtpsl", **{"film_period": 0.15, **beside, **MTPSL_SETTINGS[data.name], **settings}),)


def jtr(data: DataSpec, network: ModelSpec = SEGNET, **settings: Any) -> Specs:
    """All tasks compared in one space (eq. 4 to 6)."""
    return (_run(data, network, "jtr", **{"distance_weight": 4.0, **SQUASHED.get(data.name, {}), **settings}),)


def single_task(data: DataSpec) -> Specs:
    """One network a task, on the images that are labelled for it."""
    return tuple(_run(data, SEGNET, "partial", tasks=(task,)) for task in data.labels_over)


def must(data: DataSpec) -> Specs:
    """Missing labels come from single-task teachers (section 6.2)."""
    return (replace(_run(data, SEGNET, "must"), needs=single_task(data)),)


METHODS = {
    "Supervised MTL": supervised,
    "Consistency Reg.": consistency,
    "MTPSL [33]": mtpsl,
    "MTPSL": mtpsl,
    "Ours (JTR)": jtr,
}
"""Methods by the names that tables print."""

FOUR = ("Supervised MTL", "Consistency Reg.", "MTPSL [33]", "Ours (JTR)")


def methods(panel: str, data: DataSpec, *names: str, epochs: int = 0, network: ModelSpec = SEGNET) -> list[Row]:
    """Rows of a panel, by their printed names; without names `FOUR`."""
    return [Row(name, METHODS[name](data, network), panel=panel, epochs=epochs) for name in names or FOUR]


def with_and_without(panel: str, data: DataSpec) -> list[Row]:
    """Table 8: MTPSL's regularisation and JTR's reconstruction, left out and there."""
    return [
        Row("MTPSL w/o reg. [33]", mtpsl(data, regularisation=0.0), panel=panel),
        Row("MTPSL w/ reg. [33]", mtpsl(data), panel=panel),
        Row("JTR w/o L_Recon", jtr(data, reconstruct=False), panel=panel),
        Row("JTR w/ L_Recon", jtr(data), panel=panel),
    ]


def _run(data: DataSpec, network: ModelSpec, objective: str, tasks: tuple[str, ...] = (), **settings: Any) -> RunSpec:
    main = tasks or data.labels_over
    return RunSpec(
        replace(data, normalise="imagenet") if network.weights else data,  # what pretrained weights were made for
        replace(network, main=main),
        replace(RECIPES[data.name], extra=_extra(data)),
        ObjectiveSpec(
            objective,
            weights=tuple((t, w) for t, w in WEIGHTS.get(data.name, ()) if t in main),
            losses=options(normals="cosine") if "normals" in main else (),
            options=options(**settings),
        ),
    )


def _extra(data: DataSpec) -> int:
    """One unlabelled image a step beside the labelled ones, and as many depth-extended ones as others (6.2)."""
    return {"": 0, "unlabelled": 1}.get(data.extra.name, RECIPES[data.name].batch)
