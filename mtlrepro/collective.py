"""Processes that share every batch of a training: who they are, and what they find out together.

Each process has an equal share of every batch. A loss is shared in such a form that its mean over the processes is the
loss of the whole batch; so is its gradient. All processes call the functions below in the same order, whatever their
shares hold. A process that trains alone is rank 0 of 1, and everything here is then the identity: no caller asks which
case it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """This process's number, 0-based."""
    return dist.get_rank() if _several() else 0


def ranks() -> int:
    """How many processes share a batch."""
    return dist.get_world_size() if _several() else 1


def total(value: Tensor) -> Tensor:
    """The sum over all processes, without gradient, on every one of them; the tensor itself in a process alone."""
    return _reduced(value, dist.ReduceOp.SUM) if _several() else value


def greatest(value: Tensor) -> Tensor:
    """The elementwise maximum over all processes, without gradient; the tensor itself in a process alone."""
    return _reduced(value, dist.ReduceOp.MAX) if _several() else value


def mean(value: Tensor) -> Tensor:
    """The mean over all processes, without gradient; the tensor itself in a process alone."""
    return total(value) / ranks() if _several() else value


def shared(count: Tensor) -> Tensor:
    """What sums of a process are divided by so that their mean over the processes is the whole batch's mean.

    That is the whole batch's count, divided by the number of processes; the count itself in a process alone.
    """
    return mean(count)


def norm(values: Tensor) -> Tensor:
    """The L2 norm of the vector that the elements in all processes make together, a scalar.

    The mean over the processes of its gradients is the gradient of that norm.
    """
    own = torch.linalg.vector_norm(values)
    if not _several():
        return own
    whole = total(own.detach().square()).sqrt()
    slope = torch.where(whole > 0, ranks() * own.detach() / whole, 0.0)
    return whole + slope * (own - own.detach())


def somewhere(flag: bool) -> bool:
    """Whether it is so in any process; the host alone is asked, and waits for no device."""
    return each_somewhere([flag])[0]


def each_somewhere(flags: Sequence[bool]) -> list[bool]:
    """`somewhere` of several flags at once."""
    if not _several():
        return list(flags)
    return total(torch.tensor(flags, dtype=torch.int32)).bool().tolist()


def stacked(value: Tensor) -> Tensor:
    """A tensor of one shape of every process, in their order along a new first axis, without gradient."""
    if not _several():
        return value.detach()[None]
    values = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(ranks())]
    dist.all_gather(values, value.detach().contiguous())
    return torch.stack(values)


def gathered(value: Any) -> list[Any]:
    """A small object of every process, in their order, on every one of them. It travels pickled between them."""
    if not _several():
        return [value]
    values: list[Any] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values


def average(tensors: Sequence[Tensor], bucket: int = 2**25) -> None:
    """Replace tensors, some megabytes at a time, by their means over all processes; nothing in a process alone.

    Args:
        tensors: of the same shapes, dtypes and devices in every process, in the same order.
        bucket: bytes that travel together, about.
    """
    if not _several():
        return
    for part in _buckets(tensors, bucket):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in part])
        dist.all_reduce(flat)
        flat /= ranks()
        for tensor, values in zip(part, flat.split([tensor.numel() for tensor in part]), strict=True):
            tensor.detach().copy_(values.view(tensor.shape))


def _buckets(tensors: Sequence[Tensor], size: int) -> list[list[Tensor]]:
    """Runs of tensors of one dtype and device that hold about `size` bytes, or one larger tensor."""
    buckets: list[list[Tensor]] = []
    room, kind = 0, None
    for tensor in tensors:
        needed = tensor.numel() * tensor.element_size()
        if kind != (tensor.dtype, tensor.device) or needed > room:
            buckets.append([])
            room, kind = size, (tensor.dtype, tensor.device)
        buckets[-1].append(tensor)
        room -= needed
    return buckets


def _reduced(value: Tensor, how: Any) -> Tensor:
    reduced = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(reduced, how)
    return reduced


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
