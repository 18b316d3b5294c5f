"""Arithmetic of a training and of its evaluation, as data: that of the papers, and faster ones.

In lower precision only what an objective asks of networks is computed: losses, metrics, gradients' sums and optimizer
state stay in float32, and so do poses, warps, rendering and matrix inverses (`mtlrepro.tasks.base.full_precision`).

CUDA graphs are left off. A replayed graph writes its outputs to where those of its last replay are, and objectives
hold on to outputs: of other views, of the second stream, of a teacher. Besides, a graph is of one batch shape.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mtlrepro.errors import unknown


@dataclass(frozen=True)
class Precision:
    """One arithmetic.

    Attributes:
        tf32: whether float32 products on a GPU may be made of TF32 ones (10 bits of mantissa).
        autocast: what products are computed in; None for float32.
        channels_last: whether convolutions keep their weights, and with them their maps, channels last.
        compiled: whether networks are compiled, on a GPU.
    """

    tf32: bool = False
    autocast: torch.dtype | None = None
    channels_last: bool = False
    compiled: bool = False

    def prepare(self, device: torch.device, model: nn.Module, *others: nn.Module, shared: bool = False) -> None:
        """Lay out the weights of networks on the device, and have the first one compiled, for the first time it runs.

        Names and values of the weights stay, so that checkpoints are those of any other arithmetic.

        Args:
            device: where they are.
            model: the network that is trained.
            others: networks beside it.
            shared: whether processes share the statistics of batch normalisation.
        """
        if self.channels_last:
            for network in (model, *others):
                _channels_last(network)
        if self.compiled and not obstacle(device, shared):
            # What earlier networks of the process left counts against how often this one may be compiled.
            torch.compiler.reset()
            # One whole program a shape. One for all shapes, or parts that are compiled until a limit is reached, would
            # depend on what was seen first, and so would their rounding: a network that breaks is an error.
            model.compile(dynamic=False, fullgraph=True)

    def casting(self, device: torch.device) -> AbstractContextManager[Any]:
        """What runs networks in this arithmetic; gradients are taken outside of it."""
        if self.autocast is None:
            return nullcontext()
        # Without torch's cache of cast weights: what a pass without gradient puts there has none for the next one.
        return torch.autocast(device.type, self.autocast, cache_enabled=False)

    @contextmanager
    def products(self, device: torch.device) -> Iterator[None]:
        """Let float32 products be as this arithmetic says, on a GPU; afterwards they are as before."""
        if device.type != "cuda":
            yield
            return
        backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [backend.allow_tf32 for backend in backends]
        try:
            for backend in backends:
                backend.allow_tf32 = self.tf32
            yield
        finally:
            for backend, value in zip(backends, before, strict=True):
                backend.allow_tf32 = value

    def facts(self, device: torch.device, shared: bool) -> dict[str, str]:
        """What a run's environment says of it: whether networks are compiled, where this arithmetic asks for it.

        Args:
            device: of the run.
            shared: whether processes share the statistics of its batch normalisation.
        """
        return {"compiled": obstacle(device, shared) or "yes"} if self.compiled else {}


PRECISIONS = {
    "paper": Precision(),
    "tf32": Precision(tf32=True),
    "fast": Precision(tf32=True, autocast=torch.bfloat16, channels_last=True, compiled=True),
}
"""Key of `mtlrepro.spec.Recipe.precision` -> arithmetic."""


def precision_of(name: str) -> Precision:
    """The arithmetic of that name; a `SpecError` for an unknown one."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS, field="recipe.precision")
    return PRECISIONS[name]


def obstacle(device: torch.device, shared: bool) -> str:
    """Why networks are not compiled on a device; "" where they are. On a CPU it takes longer than a smoke run."""
    if device.type != "cuda":
        return "no: not on a GPU"
    if shared:
        return "no: batch normalisation waits for other processes"
    if importlib.util.find_spec("triton") is None:
        return "no: triton is not installed"
    if not any(map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))):
        return "no: no C compiler"
    return ""


def _channels_last(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
