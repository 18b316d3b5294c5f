"""One training that several processes share (`mtlrepro.collective`); in a process alone nothing here does anything.

Every process makes the losses of its share of a batch. Before they are weighed they become those of the whole batch,
with the process's own gradient; after the backward pass gradients are averaged. So after each step all processes hold
the same network, bit for bit, and what one of them logs, evaluates and stores is everybody's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.engine.optim import Optimizer
from mtlrepro.errors import ReproError, SpecError, StoreError, TrainingError
from mtlrepro.objectives.losses import Losses
from mtlrepro.spec import Recipe


def check_ranks(recipe: Recipe) -> None:
    """Raise a `SpecError` unless as many processes share the batches as the recipe says."""
    if recipe.ranks != collective.ranks():
        problem = f"{recipe.ranks} processes are to share every batch, and this training has {collective.ranks()}"
        mend = f"Start it with torchrun --nproc-per-node {recipe.ranks}" if recipe.ranks > 1 else "Start it alone"
        raise SpecError(problem, field="recipe.ranks", mend=mend)


def led(action: Callable[[], None]) -> None:
    """Let the first process do something for all of them; where it cannot, its error is raised in all."""
    error: ReproError | None = None
    if collective.rank() == 0:
        try:
            action()
        except ReproError as raised:
            error = raised
    if (error := collective.gathered(error)[0]) is not None:
        raise error


def share_statistics(recipe: Recipe, *networks: nn.Module) -> None:
    """Share the statistics of networks' batch norms between the processes, where the recipe says so.

    Raises:
        SpecError: for a batch norm of an unknown kind.
    """
    if recipe.sync_bn and collective.ranks() > 1:
        from mtlrepro.models import shared_norm  # it needs timm, which takes seconds

        shared_norm.share_statistics(*networks)


def check_alike(step: int, optimizer: Optimizer, *networks: nn.Module) -> None:
    """Raise a `StoreError` unless all processes begin with one state: a file system may show them different files."""
    if collective.ranks() == 1:
        return
    states = [network.state_dict() for network in networks]
    states += [dict(state) for state in optimizer.state_dict()["state"].values()]
    crc = 0
    for value in (value for state in states for value in state.values()):
        if isinstance(value, Tensor):
            crc = zlib.crc32(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data, crc)
    found = collective.gathered((step, crc))
    if len(set(found)) > 1:
        steps = ", ".join(str(step) for step, _ in found)
        problem = f"the processes of this training do not begin with the same weights (after {steps} steps)"
        mend = "Give them one run store on a file system that all of them see, and one version of every package"
        raise StoreError(problem, field="checkpoint", mend=mend)


def whole_batch(losses: Losses) -> Losses:
    """A process's losses with the values of the whole batch and the gradients of its share.

    A term that a process lacks, of samples that it does not have, counts as 0.

    Raises:
        TrainingError: if the processes have losses of different tasks: an objective looked at its share alone.
    """
    if collective.ranks() == 1:
        return losses
    own = {"total": losses.total} | ({} if losses.rest is None else {"rest": losses.rest})
    own |= {f"task {name}": value for name, value in losses.tasks.items()}
    own |= {f"term {name}": value for name, value in losses.terms.items()}
    names = _names(list(own))
    device, zero = losses.total.device, losses.total.new_zeros(())
    stack = torch.stack([own.get(name, zero).detach().to(device, torch.float64) for name in names])
    means = dict(zip(names, collective.mean(stack).unbind(), strict=True))

    def whole(name: str) -> Tensor:
        value, mine = means[name].to(losses.total.dtype), own.get(name)
        return value if mine is None else value + (mine - mine.detach())

    terms = [name.removeprefix("term ") for name in names if name.startswith("term ")]
    return Losses(
        whole("total"),
        {name: means[f"term {name}"].to(losses.total.dtype) for name in terms},
        {name: whole(f"task {name}") for name in losses.tasks},
        whole("rest") if "rest" in means else None,
    )


def forget() -> None:
    """Begin a step: what the last one left of its passes through shared norms is dropped."""
    if collective.ranks() > 1:
        from mtlrepro.models import shared_norm

        shared_norm.forget()


def backward(loss: Tensor) -> None:
    """The backward pass of a step."""
    if collective.ranks() > 1:
        from mtlrepro.models import shared_norm

        loss = shared_norm.connected(loss)
        if not loss.requires_grad:  # others have something to learn from
            return
    loss.backward()


def average_gradients(optimizer: Optimizer) -> None:
    """Give every parameter the mean of its gradients; one that no process has a gradient of gets none."""
    if collective.ranks() == 1:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = collective.each_somewhere([p.grad is not None for p in parameters])
    trained = [p for p, there in zip(parameters, found, strict=True) if there]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    collective.average([p.grad for p in trained])


def average_statistics(networks: Sequence[nn.Module]) -> None:
    """Give batch norms of which each process normalises its own share the same running averages."""
    if collective.ranks() > 1:
        from mtlrepro.models import shared_norm

        shared_norm.average_statistics(*networks)


def _names(own: list[str]) -> list[str]:
    """The names of all processes' losses, in one order; asked for one by one only if they differ."""
    digests = collective.stacked(torch.tensor([zlib.crc32("\n".join(own).encode())]))
    if bool((digests == digests[0]).all()):
        return own
    every = collective.gathered(own)
    tasks = [_tasks(names) for names in every]
    if any(found != tasks[0] for found in tasks):
        where = "; ".join(f"process {i}: {', '.join(sorted(found)) or 'none'}" for i, found in enumerate(tasks))
        mend = "Ask mtlrepro.collective.somewhere which labels any process has, or train in one process"
        raise TrainingError(f"the processes have losses of different tasks ({where})", field="objective", mend=mend)
    return list(dict.fromkeys(name for names in every for name in names))


def _tasks(names: Iterable[str]) -> set[str]:
    return {name.removeprefix("task ") for name in names if name.startswith("task ")}
