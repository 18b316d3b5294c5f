"""The accumulator contract all metrics share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.distributed as dist
from torch import Tensor

from mtlrepro.errors import DataError, SpecError


class Metric(ABC):
    """A named, versioned protocol: sums in, figures out.

    State lives in `state`, a dict of int64 or float64 tensors that are plain sums over pixels, so `merge` is
    addition and the figures depend neither on batch size nor on image order nor on rank count. Integer sums are
    exact; float64 sums are exact up to the rounding of their additions (about 1e-13 relative for a billion
    pixels), which is far below any printed digit. State follows the device of the last update.

    Class attributes:
        protocol: the protocol's id, for example `"miou/dataset@1"`.
        better: figure name -> `"higher"` or `"lower"`; also lists the figures `compute` returns.
        costly: takes so long that a run computes it only once, at its end.
        units: figure name -> unit, of the figures that are not fractions in [0, 1]; "" for a number without unit.
        own_label: key of what this protocol is judged by instead of the task's label, in samples that carry it.
    """

    protocol: ClassVar[str]
    better: ClassVar[dict[str, str]]
    units: ClassVar[dict[str, str]] = {}
    costly: ClassVar[bool] = False
    own_label: ClassVar[str] = ""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch. Shapes and units are the subclass's; prediction is what `Task.decode` returns."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Figures by name; NaN where nothing valid was seen."""

    def curve(self) -> dict[str, list[float]]:
        """What was found at each operating point ("thresholds" and others, equally long); empty where there is none."""
        return {}

    def unit(self, figure: str) -> str:
        """Unit of a figure; "fraction" is what papers print times 100."""
        return self.units.get(figure, "fraction")

    def merge(self, other: Self) -> Self:
        """Add another accumulator's sums to this one and return it.

        Raises:
            SpecError: if the other one follows another protocol or has sums of other shapes.
        """
        shapes = [{k: v.shape for k, v in m.state.items()} for m in (self, other)]
        if other.protocol != self.protocol or shapes[0] != shapes[1]:
            mine, theirs = ([tuple(shape) for shape in at.values()] for at in shapes)
            built = "" if other.protocol != self.protocol else f": sums of shapes {theirs} and {mine}"
            problem = f"cannot merge {other.protocol} into {self.protocol}{built}"
            raise SpecError(problem, mend="Merge accumulators built the same way")
        for name, value in other.state.items():
            self.state[name] = self.state[name] + value.to(self.state[name].device)
        return self

    def gather(self) -> Self:
        """Merge the accumulators of all ranks of the default process group, in rank order, and return this one.

        Every rank then holds the same state, on the CPU. Without a process group nothing changes.
        """
        if dist.is_available() and dist.is_initialized():
            states: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(states, {name: value.cpu() for name, value in self.state.items()})
            whole, *rest = states
            self.state = whole
            for state in rest:
                other = copy.copy(self)
                other.state = state
                self.merge(other)
        return self

    def _zeros(self, name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
        self.state[name] = torch.zeros(shape, dtype=dtype)

    def _add(self, sums: Mapping[str, Tensor]) -> None:
        for name, value in sums.items():
            self.state[name] = self.state[name].to(value.device) + value


class HostMetric(Metric):
    """A metric that works through every image by itself on the host, for so long that other processes may share it."""

    costly = True

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch."""
        for job in self.jobs(prediction, target):
            self.add(job())

    @abstractmethod
    def jobs(self, prediction: Tensor, target: Tensor) -> Sequence[Callable[[], Any]]:
        """What there is to do for a batch: calls without a tensor in them, whose results `add` takes in this order."""

    @abstractmethod
    def add(self, counted: Any) -> None:
        """Add what a job found."""


def check_pair(what: str, prediction: Tensor, target: Tensor, channels: int | None) -> None:
    """Check that a decoded prediction and a batch target have one shape.

    Args:
        what: the task, for the message.
        prediction: (B, channels, H, W), or (B, H, W) if `channels` is None.
        target: the same shape.
        channels: expected size of axis 1, None where there is no channel axis.

    Raises:
        SpecError: naming both shapes.
    """
    layout = "(B, H, W)" if channels is None else f"(B, {channels}, H, W)"
    rank = 3 if channels is None else 4
    good = target.ndim == rank and (channels is None or target.shape[1] == channels)
    if not good or prediction.shape != target.shape:
        raise SpecError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} should both be {layout}",
            field=what,
            mend="Resize the prediction to the label, and decode it with the task, before the metric sees it",
        )


def check_finite(what: str, target: Tensor) -> None:
    """Raise a `DataError` if a target holds NaN or infinity (it would silently count as invalid)."""
    if not bool(torch.isfinite(target).all()):
        mend = "Encode invalid pixels as mtlrepro.data.sample says"
        raise DataError("label holds NaN or infinity", field=what, mend=mend)
