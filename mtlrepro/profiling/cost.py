"""Parameters and multiply-accumulates of a model, counted twice by independent means.

The resource tables of the MTI-Net paper (table 7) print multiply-accumulates under the name FLOPS. `model_cost` counts
those of convolutions and matrix products, attention's among them, exactly, without allocating anything, and lists what
it leaves out. `fvcore_cost` runs fvcore over a traced forward pass on the CPU, in the same unit plus normalisation and
resizing.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from mtlrepro.data.partial import label_mask
from mtlrepro.models import build_model
from mtlrepro.objectives import attached_objective
from mtlrepro.profiling.blank import blank_batch

if TYPE_CHECKING:
    from mtlrepro.spec import ModelSpec, RunSpec
    from mtlrepro.tasks.base import Task


@dataclass(frozen=True)
class Cost:
    """What one forward pass of one image costs, in evaluation mode.

    Attributes:
        params: learnable parameters.
        macs: multiply-accumulates (one multiplication with its addition is 1) of the operators that are counted.
        by_operator: multiply-accumulates per counted operator.
        uncounted: operators that ran and are not counted -> number of calls.
        added_params: those of `params` that are in the model's child `exchange`, 0 where it has none.
    """

    params: int
    macs: int
    by_operator: dict[str, int]
    uncounted: dict[str, int]
    added_params: int


class _Uncounted(TorchDispatchMode):
    """Counts calls of the operators that PyTorch's counter has no formula for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket not in flop_registry:
            self.calls[func._overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


class _Final(nn.Module):
    """The part of a model that its final predictions need: tracing drops the rest."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(image).final.values())


@contextmanager
def _ordinary_kernels() -> Iterator[None]:
    """In deterministic mode PyTorch decomposes some operators; the list of operators must not depend on that."""
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _added_parameters(model: nn.Module) -> int:
    return _parameters(dict(model.named_children()).get("exchange", nn.Module()))


def model_cost(spec: ModelSpec, channels: Mapping[str, int], size: tuple[int, int] = (480, 640)) -> Cost:
    """Exact parameters and multiply-accumulates of convolutions and matrix products, on the meta device.

    All predictions of the model are counted, those of intermediate stages too.

    Args:
        spec: the model; its weights are not loaded.
        channels: output channels of every task.
        size: (height, width) of the image in pixels, such as the backbone takes.
    """
    with torch.device("meta"):
        model = build_model(replace(spec, weights=None), channels, size).eval()
        image = torch.empty(1, 3, *size)
    counter = FlopCounterMode(display=False)
    with _ordinary_kernels(), torch.no_grad(), counter, _Uncounted() as uncounted:
        model(image)
    # PyTorch counts a multiply-accumulate as two floating point operations.
    by_operator = {op.__name__: flops // 2 for op, flops in counter.get_flop_counts()["Global"].items()}
    calls = dict(uncounted.calls)
    return Cost(_parameters(model), sum(by_operator.values()), by_operator, calls, _added_parameters(model))


@dataclass(frozen=True)
class TrainingCost:
    """What training costs beside a network's own cost.

    Attributes:
        params: all parameters that are trained, the objective's included.
        macs: multiply-accumulates of convolutions and matrix products in the forward passes of a step, a sample;
            mean over the samples' label patterns.
    """

    params: int
    macs: int


COUNTED_SAMPLES = 60
"""Samples with label patterns of their own that the cost of a training step is averaged over."""


def training_cost(spec: RunSpec, tasks: Mapping[str, Task]) -> TrainingCost:
    """Parameters and multiply-accumulates of training with a spec's objective, on the meta device.

    Args:
        spec: model, objective, size, label setting and the shares of the streams in a batch are taken from it; it must
            need no other runs.
        tasks: the spec's tasks.
    """
    over, recipe = spec.data.labels_over or tuple(tasks), spec.recipe
    extra = COUNTED_SAMPLES * recipe.extra // (recipe.batch + recipe.extra)
    main = COUNTED_SAMPLES - extra
    mask, beside = label_mask(spec.data.labels, over, main), spec.data.extra.tasks
    labelled = {t: torch.tensor([mask.labelled(i, t) for i in range(main)] + [t in beside] * extra) for t in tasks}
    spec = replace(spec, model=replace(spec.model, weights=None))
    with torch.device("meta"):
        model: Any = build_model(spec.model, {n: t.channels for n, t in tasks.items()}, spec.data.size).train()
        objective = attached_objective(spec, tasks, model)
    batch = blank_batch(tasks, labelled, spec.data.size, objective.views, "meta", extra)
    counter = FlopCounterMode(display=False)
    with _ordinary_kernels(), counter:
        objective(model, batch, 0.0)
    return TrainingCost(
        _parameters(model) + _parameters(objective), round(counter.get_total_flops() / 2 / COUNTED_SAMPLES)
    )


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-accumulates of a traced attention, for which fvcore has no formula: scores, then weighted values.

    Args:
        inputs: values of the trace, of which the first two are the queries (..., L, C) and the keys (..., S, C).
        outputs: as many values, of which the first is the result (..., L, V).
    """
    queries, keys, results = (value.type().sizes() for value in (*inputs[:2], outputs[0]))
    return math.prod(queries[:-1]) * keys[-2] * (queries[-1] + results[-1])


def _added_products(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-accumulates of a traced sum of a tensor and a batch of matrix products, which fvcore leaves out.

    Args:
        inputs: values of the trace: the tensor, then the factors (B, L, C) and (B, C, S), and two numbers.
        outputs: not used.
    """
    left, right = (value.type().sizes() for value in inputs[1:3])
    return math.prod(left) * right[-1]


def fvcore_cost(spec: ModelSpec, channels: Mapping[str, int], size: tuple[int, int] = (480, 640)) -> Cost:
    """The same cost counted by fvcore: multiply-accumulates, plus its figures for normalisation and resizing.

    Only what the final predictions need is counted. The model is allocated and run once on the CPU, because the trace
    that fvcore needs cannot be taken on the meta device.

    Args:
        spec: the model; its weights are not loaded.
        channels: output channels of every task.
        size: (height, width) of the image in pixels, such as the backbone takes.
    """
    model = build_model(replace(spec, weights=None), channels, size).eval()
    with _ordinary_kernels(), torch.no_grad(), warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):  # fvcore uses interfaces that PyTorch is about to retire
            warnings.simplefilter("ignore", category)
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(_Final(model), torch.zeros(1, 3, *size))
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
        analysis.set_op_handle("aten::baddbmm", _added_products)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = {name: int(count) for name, count in analysis.by_operator().items()}
    total, calls = int(analysis.total()), dict(analysis.unsupported_ops())
    return Cost(_parameters(model), total, by_operator, calls, _added_parameters(model))
