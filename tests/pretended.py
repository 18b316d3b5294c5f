"""A pretended GPU: tensors of the host that say they are on one, and a record of what would have waited for it.

It sees what Python code asks of tensors, in this package and in those it is built on, but nothing inside torch's own
kernels. A real device says more: `torch.cuda.set_sync_debug_mode`.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

PLACE = torch.device("cuda:0")
ROOT = Path(__file__).resolve().parents[1]

READS = ("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "numpy", "cpu", "__contains__", "equal")
"""What gives the host a value of a tensor."""

SHAPES = ("nonzero", "masked_select", "unique", "argwhere", "bincount", "unique_consecutive", "_unique2")
"""What has a shape that depends on values, so that the host must know them."""

MAKERS = (torch.tensor, torch.as_tensor, torch.from_numpy)
"""What makes a tensor of the host's numbers, which are copied to the device before anything else happens."""


class OnDevice(Tensor):
    """A tensor that says it is on the pretended device; so is all that is made of it."""


@dataclass
class Waits(TorchFunctionMode):
    """Gathers, while it is entered, where the host would wait for the device: "<what> in <file>:<line>" -> how often.

    Attributes:
        found: what was gathered.
    """

    found: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        if name == "__get__" and func == Tensor.device.__get__:
            return PLACE if isinstance(first, OnDevice) else func(*args, **kwargs)
        if name == "__get__" and func == Tensor.is_cuda.__get__:
            return isinstance(first, OnDevice)
        if isinstance(first, OnDevice) and (name in READS or name in SHAPES):
            self.note(name)
        if name in ("__getitem__", "__setitem__"):
            self.index(args[0], args[1])
        if name == "to":
            return self.move(func, args, kwargs)
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted) == PLACE:
            if func in MAKERS:
                self.note(f"torch.{name}")
            return marked(func(*args, **{**kwargs, "device": "cpu"}))
        result = func(*args, **kwargs)
        if name in ("cpu", "numpy") and isinstance(result, Tensor):
            return result.as_subclass(Tensor)
        return result

    def index(self, tensor: Any, index: Any) -> None:
        """Places that the host keeps must be copied; a mask on the device has as many places as its values say."""
        if not isinstance(tensor, OnDevice):
            return
        for one in index if isinstance(index, tuple) else (index,):
            if isinstance(one, OnDevice) and one.dtype == torch.bool:
                self.note("a mask as an index")
            elif isinstance(one, Tensor) and not isinstance(one, OnDevice) and one.ndim:
                self.note("a host tensor as an index")

    def move(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """To the device, which waits unless it is told not to; or to the host, which always waits."""
        tensor, *rest = args
        to_place, to_host, others = False, False, []
        for value in (*rest, *([kwargs.pop("device")] if "device" in kwargs else [])):
            if isinstance(value, Tensor):
                to_place |= isinstance(value, OnDevice)
                others.append(value.dtype)
            elif isinstance(value, torch.device | str):
                to_place |= torch.device(value) == PLACE
                to_host |= torch.device(value).type == "cpu"
            else:
                others.append(value)
        if to_place and not isinstance(tensor, OnDevice) and not kwargs.get("non_blocking", False):
            self.note("a copy to the device that is waited for")
        if to_host and isinstance(tensor, OnDevice):
            self.note("a copy to the host")
        moved = func(tensor, *others, **kwargs) if others or kwargs else tensor
        return marked(moved) if to_place else moved.as_subclass(Tensor) if to_host else moved

    def note(self, what: str) -> None:
        """Count one wait at the nearest line that is not torch's."""
        for frame in reversed(traceback.extract_stack()):
            if "/torch/" not in frame.filename and frame.filename != __file__:
                file = Path(frame.filename)
                name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else Path(*file.parts[-3:])
                place = f"{what} in {name}:{frame.lineno}"
                self.found[place] = self.found.get(place, 0) + 1
                return


def marked(value: Any) -> Any:
    """The same on the pretended device: a tensor, a mapping or sequence of tensors, or a dataclass of such."""
    if isinstance(value, nn.Parameter):
        return nn.Parameter(value.detach().as_subclass(OnDevice), value.requires_grad)
    if isinstance(value, Tensor):
        return value.as_subclass(OnDevice)
    if isinstance(value, Mapping):
        return {key: marked(one) for key, one in value.items()}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(marked, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: marked(getattr(value, f.name)) for f in fields(value)})
    return value


def mark_network(network: nn.Module) -> None:
    """Move a network's weights and buffers to the pretended device."""
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = marked(tensor)
