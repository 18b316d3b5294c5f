"""Networks: one published architecture a file, one backbone family a file, names to both in registries.

This module and `mtlrepro.models.backbones` hold names only. An architecture or a backbone is imported when a spec
names it, so that a run depends on no more code than it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.registry import Registry, option_names

if TYPE_CHECKING:
    from torch import nn

    from mtlrepro.models.base import Backbone
    from mtlrepro.spec import ModelSpec

MODELS = Registry(
    "architecture",
    {
        "stl": "mtlrepro.models.baselines:SingleTask",
        "mtl": "mtlrepro.models.baselines:MultiTask",
        "padnet": "mtlrepro.models.padnet:PADNet",
        "mti_net": "mtlrepro.models.mti_net:MTINet",
        "segnet": "mtlrepro.models.segnet:SegNet",
        "deeplab": "mtlrepro.models.deeplab:DeepLab",
        "deeplab_single": "mtlrepro.models.deeplab:SingleDeepLab",
        "cross_stitch": "mtlrepro.models.cross_stitch:CrossStitch",
        "three_ways": "mtlrepro.models.three_ways:ThreeWays",
        "dense_mtl": "mtlrepro.models.dense_mtl:DenseMTL",
        "invpt": "mtlrepro.models.invpt:InvPT",
        "atrc": "mtlrepro.models.atrc:ATRC",
        "mt_cp": "mtlrepro.models.mt_cp:MTCP",
        "mt_cp_single": "mtlrepro.models.mt_cp:SingleMTCP",
    },
    group="models",
    base="torch.nn:Module",
)


def build_model(spec: ModelSpec, channels: Mapping[str, int], size: tuple[int, int] | None = None) -> nn.Module:
    """Build the network that a spec describes, with pinned backbone weights where the spec asks for them.

    The order of the tasks in `spec.main` and `spec.aux` is the order of concatenation and of initialisation inside
    the network. Inside `torch.device("meta")` nothing is allocated; use a spec without `weights` there.

    Args:
        spec: architecture, backbone, tasks, weights and options.
        channels: number of output channels of every task in `spec.main` and `spec.aux`.
        size: (height, width) of the images, for a backbone with learned positions; others take images of any size.

    Returns:
        A module that maps images (B, 3, H, W) to `mtlrepro.models.outputs.Outputs`; H and W are multiples of 32, but
        for architectures and backbones that say otherwise. Its `backbone.weights_report` says which pretrained weights
        it holds, None for random initialisation.

    Raises:
        SpecError: for an unknown architecture, backbone, option or weights tag, for tasks that do not fit, and without
            a size for a backbone that needs one.
        DataError: if the weights cannot be found or do not fit the backbone.
    """
    architecture, tasks = _checked(spec, channels)
    check_weights(spec)
    backbone = BACKBONES[spec.backbone].build(size=size)
    if spec.weights is not None:
        from mtlrepro.models.base import pretrained_part
        from mtlrepro.models.weights import load_weights

        # Before anything is built on it: an architecture may make copies.
        backbone.weights_report = load_weights(pretrained_part(backbone), spec.weights)
    return architecture(backbone, *tasks, channels, **dict(spec.options))


def check_weights(spec: ModelSpec) -> None:
    """Raise a `SpecError` for a weights tag that is none of the backbone's; no file is looked for."""
    tags = BACKBONES[spec.backbone].weights
    if spec.weights is not None and spec.weights not in tags:
        raise unknown(f"weights tag of backbone {spec.backbone}", spec.weights, tags, field="model.weights")


def build_decoder(spec: ModelSpec, channels: Mapping[str, int], backbone: Backbone) -> nn.Module:
    """Build the network that a spec describes on maps that are handed to it: its decoder alone, randomly initialised.

    Args:
        spec: architecture, tasks and options; its backbone and weights are not read.
        channels: number of output channels of every task.
        backbone: whose maps the decoder is going to see; nothing of it becomes part of the decoder.

    Returns:
        A module like that of `build_model`, whose `backbone` is a `mtlrepro.models.handed.Handed`: set its `maps`, then
        call the module with the image that they are of.

    Raises:
        SpecError: as for `build_model`, and for an architecture that asks more of its backbone than maps.
    """
    from mtlrepro.models.base import BRINGS
    from mtlrepro.models.handed import Handed

    architecture, tasks = _checked(spec, channels)
    brings = {name: getattr(backbone, name) for name in BRINGS if hasattr(backbone, name)}
    try:
        handed = Handed(backbone.channels, backbone.strides, **brings)
        return architecture(handed, *tasks, channels, **dict(spec.options))
    except SpecError as error:
        if error.field != "model.backbone":
            raise
        problem = f"a second decoder of architecture {spec.arch} cannot share the backbone, which has to give it more"
        mend = "Choose an architecture that reads its backbone's maps and nothing else"
        raise SpecError(f"{problem} than maps", field="model.arch", mend=mend) from error


def _checked(spec: ModelSpec, channels: Mapping[str, int]) -> tuple[Any, tuple[tuple[str, ...], ...]]:
    """The architecture's class and its task arguments; raises a `SpecError` for options and tasks that do not fit."""
    architecture = MODELS[spec.arch]
    known = option_names(architecture)
    for name, _ in spec.options:
        if name not in known:
            raise unknown(f"option of architecture {spec.arch}", name, known, field="model.options")
    _check_tasks(spec, channels, has_front_end(architecture))
    return architecture, (spec.main, spec.aux) if has_front_end(architecture) else (spec.main,)


def has_front_end(architecture: Any) -> bool:
    """Whether a class of networks predicts auxiliary tasks first, and takes them as its third argument."""
    return getattr(architecture, "front_end", False)


def _check_tasks(spec: ModelSpec, channels: Mapping[str, int], front_end: bool) -> None:
    if not spec.main:
        raise SpecError("no main task", field="model.main", mend="Name at least one task to predict")
    for field, tasks in (("model.main", spec.main), ("model.aux", spec.aux)):
        if len(set(tasks)) < len(tasks):
            raise SpecError(f"a task is named twice in {tasks}", field=field, mend="Name every task once")
        for task in tasks:
            if task not in channels:
                raise unknown("task", task, channels, field=field)
    if not front_end and spec.aux:
        mend = "Leave aux empty"
        raise SpecError(f"architecture {spec.arch} has no front-end, got {spec.aux}", field="model.aux", mend=mend)
    missing = [task for task in spec.main if task not in spec.aux]
    if front_end and missing:
        mend = f"The front-end predicts the main tasks too: add {', '.join(missing)} to aux"
        raise SpecError(f"main task {missing[0]!r} is not among {spec.aux}", field="model.aux", mend=mend)
