"""Networks: one published architecture a file, one backbone family a file, names to both in registries.

This module and `mtlrepro.models.backbones` hold names only. An architecture or a backbone is imported when a spec
names it, so that a run depends on no more code than it uses.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.registry import Registry

if TYPE_CHECKING:
    from torch import nn

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
        "three_ways": "mtlrepro.models.three_ways:ThreeWays",
        "dense_mtl": "mtlrepro.models.dense_mtl:DenseMTL",
    },
)


def build_model(spec: ModelSpec, channels: Mapping[str, int]) -> nn.Module:
    """Build the network that a spec describes, with pinned backbone weights where the spec asks for them.

    The order of the tasks in `spec.main` and `spec.aux` is the order of concatenation and of initialisation inside
    the network. Inside `torch.device("meta")` nothing is allocated; use a spec without `weights` there.

    Args:
        spec: architecture, backbone, tasks, weights and options.
        channels: number of output channels of every task in `spec.main` and `spec.aux`.

    Returns:
        A module that maps images (B, 3, H, W), H and W multiples of 32, to `mtlrepro.models.outputs.Outputs`. Its
        `backbone.weights_report` says which pretrained weights it holds, None for random initialisation.

    Raises:
        SpecError: for an unknown architecture, backbone, option or weights tag, and for tasks that do not fit.
        DataError: if the weights cannot be found or do not fit the backbone.
    """
    architecture = MODELS[spec.arch]
    config = BACKBONES[spec.backbone]
    if spec.weights is not None and spec.weights not in config.weights:
        raise unknown(f"weights tag of backbone {spec.backbone}", spec.weights, config.weights, field="model.weights")
    parameters = inspect.signature(architecture).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for name, _ in spec.options:
        if name not in known:
            raise unknown(f"option of architecture {spec.arch}", name, known, field="model.options")
    _check_tasks(spec, channels, architecture.front_end)
    tasks = (spec.main, spec.aux) if architecture.front_end else (spec.main,)
    model = architecture(config.build(), *tasks, channels, **dict(spec.options))
    if spec.weights is not None:
        from mtlrepro.models.weights import load_weights

        model.backbone.weights_report = load_weights(model.backbone, spec.weights)
    return model


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
