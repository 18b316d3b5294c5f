"""Batch normalisation over a batch that several processes share, forwards and backwards.

PyTorch's own (`torch.nn.SyncBatchNorm`) runs on GPUs alone. This one is made of operations that every device has, so
that what is tested on CPUs is what runs on GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mtlrepro import collective
from mtlrepro.errors import SpecError

_passes: list[Tensor] = []
"""One scalar a pass through such a norm in this step: what the loss is connected to."""


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' maps together."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to the same; in evaluation as in the parent class."""
        return _normalised(self, input) if self.training else super().forward(input)


class SharedBatchNormAct2d(BatchNormAct2d):
    """The same with the activation that timm's networks have in it."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; in evaluation as in the parent class."""
        return self.act(self.drop(_normalised(self, x))) if self.training else super().forward(x)


SHARED: dict[type, type] = {nn.BatchNorm2d: SharedBatchNorm2d, BatchNormAct2d: SharedBatchNormAct2d}


def share_statistics(*networks: nn.Module) -> None:
    """Make every batch norm in some networks one over all processes; its parameters and their names stay.

    Norms of single samples stay what they are, and so does everything in a process alone.

    Raises:
        SpecError: for a batch norm of a class that is not among `SHARED`.
    """
    if collective.ranks() == 1:
        return
    for network in networks:
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm) and type(module) not in SHARED.values():
                if type(module) not in SHARED:
                    problem = f"statistics of {type(module).__name__} ({name}) cannot be shared between processes"
                    known = " or ".join(cls.__name__ for cls in SHARED)
                    raise SpecError(problem, field="recipe.sync_bn", mend=f"Use {known}, or leave sync_bn out")
                module.__class__ = SHARED[type(module)]


def average_statistics(*networks: nn.Module) -> None:
    """Running averages of batch norms that see one process's share each become their mean over the processes.

    After every step, so that all processes hold the same network whenever it is evaluated or stored.
    """
    if collective.ranks() == 1:
        return
    plain = tuple(SHARED.values())
    modules = [module for network in networks for module in network.modules()]
    norms = [m for m in modules if isinstance(m, _BatchNorm) and m.training and not isinstance(m, plain)]
    running = [value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None]
    collective.average(running)


def forget() -> None:
    """Begin a step: passes of the last one, which may have ended before its backward pass, are dropped."""
    _passes.clear()


def connected(loss: Tensor) -> Tensor:
    """A loss whose backward pass goes through the same shared norms in every process; its value stays.

    A process may have no label of a task that others have some of. Its loss then does not depend on that task's
    norms, which nonetheless have to tell the others so. What no process's loss depends on stays out, so that its
    parameters get no gradient.
    """
    passes = list(_passes)
    forget()
    if not passes:
        return loss
    own = _depends_on(loss, passes)
    anywhere = collective.each_somewhere(own)
    missing = [one for one, here, there in zip(passes, own, anywhere, strict=True) if there and not here]
    return _Connected.apply(loss, *missing) if missing else loss


def _depends_on(loss: Tensor, passes: list[Tensor]) -> list[bool]:
    """Whether a loss is made of the result of each pass."""
    wanted = {one.grad_fn for one in passes}
    waiting = [loss.grad_fn] if loss.grad_fn is not None else []
    seen = set(waiting)
    left = len(wanted)
    while waiting and left:
        node = waiting.pop()
        left -= node in wanted
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return [one.grad_fn in seen for one in passes]


@torch.compiler.disable
def _normalised(norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    mean, variance, count = _moments(maps)
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None  # they come together
        norm.num_batches_tracked.add_(1)
        rate = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
        with torch.no_grad():
            unbiased = variance * (count / (count - 1))
            for running, value in ((norm.running_mean, mean), (norm.running_var, unbiased)):
                running.add_(rate * (value.to(running.dtype) - running))
    result, handle = _Normalised.apply(maps, norm.weight, norm.bias, mean, variance, count, norm.eps)
    if handle.requires_grad:
        _passes.append(handle)
    return result


@torch.no_grad()
def _moments(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (biased) of every channel in all processes, (C,), and the number of their elements, (1,)."""
    axes = [0, *range(2, maps.ndim)]
    variance, mean = torch.var_mean(_wide(maps), axes, correction=0)
    count = mean.new_full((1,), maps.numel() // maps.shape[1])
    found = collective.stacked(torch.cat([mean, variance, count])).double()
    means, variances = found[:, :-1].chunk(2, 1)
    counts = found[:, -1:]
    whole = counts.sum(0)
    average = (counts * means).sum(0) / whole
    spread = (counts * (variances + (means - average).square())).sum(0) / whole
    return average.to(mean.dtype), spread.to(mean.dtype), whole.to(mean.dtype)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class _Normalised(torch.autograd.Function):
    """Maps by given statistics, whose own dependence on the maps of all processes is part of the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(maps, weight, mean, (variance + eps).rsqrt(), count)
        return F.batch_norm(maps, mean, variance, weight, bias, False, 0.0, eps), maps.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        maps, weight, mean, scale, count = ctx.saved_tensors
        axes, shape = [0, *range(2, maps.ndim)], (1, -1, *[1] * (maps.ndim - 2))
        given = _wide(torch.zeros_like(maps) if gradient is None else gradient)
        centred = _wide(maps) - mean.view(shape)
        sums = torch.cat([given.sum(axes), (given * centred).sum(axes)])
        own_bias, own_weight = sums.chunk(2)
        by_mean, by_spread = (collective.total(sums) / count).chunk(2)
        slope = scale if weight is None else scale * weight
        result = centred.mul_(-(by_spread * scale.square()).view(shape)).add_(given).sub_(by_mean.view(shape))
        result = result.mul_(slope.view(shape)).to(maps.dtype)
        if weight is None or gradient is None:
            return result, None, None, None, None, None, None
        return result, (own_weight * scale).to(weight.dtype), own_bias.to(weight.dtype), None, None, None, None


class _Connected(torch.autograd.Function):
    """The loss, and nothing of the passes: but the backward pass goes there."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *passes: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, *[None] * (len(ctx.needs_input_grad) - 1)
