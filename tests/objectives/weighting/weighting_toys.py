"""Task losses that a test writes down, and tiny networks with a shared weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting.base import Weighting
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.base import Task

NAMES = ("semseg", "depth", "normals")
INFO = DatasetInfo("toy", tuple(TASKS), class_names=("a", "b", "c"))
NOTHING = nn.Identity()
"""A network for weightings that do not look at it."""


def tasks(names: Iterable[str] = NAMES) -> dict[str, Task]:
    return make_tasks(tuple(names), INFO)


def losses_of(
    values: Mapping[str, float], rest: float | None = None, dtype: torch.dtype = torch.float64
) -> tuple[Losses, dict[str, Tensor]]:
    """Losses of these values, and the leaves that they are."""
    leaves = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in values.items()}
    total = sum(leaves.values(), torch.zeros((), dtype=dtype))
    other = None
    if rest is not None:
        leaves["rest"] = other = torch.tensor(rest, dtype=dtype, requires_grad=True)
        total = total + other
    return Losses(total, {}, {name: leaves[name] for name in values}, other), leaves


def gradients(weighting: Weighting, values: Mapping[str, float], rest: float | None = None) -> dict[str, float]:
    """The derivative of what is minimised by every loss."""
    losses, leaves = losses_of(values, rest)
    total = weighting(losses, NOTHING)
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {name: 0.0 if g is None else g.item() for name, g in zip(leaves, found, strict=True)}


def follow(weighting: Weighting, epochs: Sequence[Mapping[str, float] | Sequence[float]]) -> list[dict[str, float]]:
    """Train epochs of one step each with these losses; the weights after each."""
    found = []
    for epoch in epochs:
        values = epoch if isinstance(epoch, Mapping) else dict(zip(weighting.names, epoch, strict=True))
        weighting(losses_of(values)[0], NOTHING)
        weighting.end_epoch()
        found.append(weighting.figures()["weight"])
    return found


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_bits(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


class Net(nn.Module):
    """An encoder of two convolutions, and a head of one convolution a task."""

    def __init__(self, names: Sequence[str] = NAMES, width: int = 4):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Tanh(), nn.Conv2d(width, width, 1))
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, one.channels, 1) for name, one in tasks(names).items()})

    def forward(self, image: Tensor) -> Outputs:
        shared = self.backbone(image)
        return Outputs({name: head(shared) for name, head in self.heads.items()})


def batch(seed: int, hidden: Iterable[str] = ()) -> Batch:
    """Two images of 6 x 8 pixels with all labels but those of `hidden`."""
    draw = torch.Generator().manual_seed(seed)
    targets = {
        "semseg": torch.randint(0, 3, (2, 6, 8), generator=draw),
        "depth": torch.rand(2, 1, 6, 8, generator=draw) + 1,
        "normals": nn.functional.normalize(torch.randn(2, 3, 6, 8, generator=draw), dim=1),
    }
    labelled = {name: torch.full((2,), name not in hidden) for name in targets}
    return Batch(torch.rand(2, 3, 6, 8, generator=draw), targets, labelled, torch.arange(2))
