"""Batch norm over two real processes against PyTorch's own over their maps together, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from gloo_team import RANKS, Team
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.errors import SpecError
from mtlrepro.models import shared_norm
from mtlrepro.models.norms import instance_norm

B, C, H, W = 4, 3, 5, 6
KINDS = ("plain", "activated", "cumulative", "without affine")


def norm_of(kind: str) -> nn.Module:
    torch.manual_seed(1)
    norm = {
        "plain": nn.BatchNorm2d(C),
        "activated": BatchNormAct2d(C, eps=1e-3),
        "cumulative": nn.BatchNorm2d(C, momentum=None),
        "without affine": nn.BatchNorm2d(C, affine=False, eps=0.5),
    }[kind]
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm.double()


def passes(kind: str, mine: slice) -> dict[str, Tensor]:
    """Two steps' results, gradients and running averages on a part of the batch."""
    norm = norm_of(kind)
    shared_norm.share_statistics(norm)
    random = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for step in range(2):
        maps = 5 + torch.randn(B, C, H, W, generator=random, dtype=torch.float64)
        maps *= torch.arange(1, C + 1)[:, None, None]
        weight = torch.randn(B, C, H, W, generator=random, dtype=torch.float64)
        own = maps[mine].requires_grad_()
        norm.zero_grad(set_to_none=True)
        result = norm(own)
        shared_norm.connected((result * weight[mine]).sum() * collective.ranks()).backward()
        assert own.grad is not None
        found |= {f"result {step}": result.detach(), f"maps {step}": own.grad / collective.ranks()}
        collective.average([p.grad for p in norm.parameters()])
        found |= {f"{name} {step}": p.grad.clone() for name, p in norm.named_parameters()}
    found |= dict(norm.named_buffers())
    norm.eval()
    return found | {"evaluated": norm(maps[mine]).detach()}


def shares(kind: str) -> dict[str, Tensor]:
    return passes(kind, slice(collective.rank(), None, collective.ranks()))


@pytest.mark.parametrize("kind", KINDS)
def test_shared_statistics_are_those_of_all_maps_together(kind: str, team: Team) -> None:
    whole = passes(kind, slice(None))
    for rank, part in enumerate(team.values(shares, kind)):
        assert part.keys() == whole.keys()
        for name, value in whole.items():
            mine = value[rank::RANKS] if value.ndim == 4 else value
            said = partial("{}: {}".format, f"{name} of process {rank}")
            torch.testing.assert_close(part[name], mine, rtol=1e-10, atol=1e-12, msg=said)


class Heads(nn.Module):
    """A trunk and three heads, each with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(2, C, 1), nn.BatchNorm2d(C))
        self.heads = nn.ModuleList(nn.Sequential(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C)) for _ in range(3))


def heads_used(used: list[list[int]]) -> tuple[dict[str, Tensor | None], bool]:
    """Gradients where each process's loss is of some heads; the last head is nobody's."""
    torch.manual_seed(0)
    network = Heads().double()
    maps = torch.randn(B, 2, H, W, dtype=torch.float64)
    shared_norm.share_statistics(network)
    rank, ranks = collective.rank(), collective.ranks()
    trunk = network.trunk(maps[rank::ranks])
    results = [head(trunk).pow(3).sum((1, 2, 3)) for head in network.heads]
    mine = used[rank] if ranks > 1 else sorted({i for some in used for i in some})
    zero = torch.zeros(len(trunk), dtype=torch.float64)
    loss = sum((results[i] for i in mine), zero).sum() * ranks
    if ranks == 1:  # every sample counts in the heads that its process has
        loss = sum(results[i][r::RANKS].sum() for r, some in enumerate(used) for i in some)
    tied = shared_norm.connected(loss)
    tied.backward()
    found = collective.each_somewhere([p.grad is not None for p in network.parameters()])
    for parameter, there in zip(network.parameters(), found, strict=True):
        if there and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    collective.average([p.grad for p in network.parameters() if p.grad is not None])
    return {name: p.grad for name, p in network.named_parameters()}, bool(tied == loss)


@pytest.mark.parametrize("used", [[[0], [0, 1]], [[1], [0]], [[], [0, 1]]])
def test_a_process_takes_part_in_norms_that_its_loss_does_not_depend_on(
    used: list[list[int]],
    team: Team,
) -> None:
    whole, _ = heads_used(used)
    assert {name for name, gradient in whole.items() if gradient is None} == {
        f"heads.2.{place}.{kind}" for place in (0, 1) for kind in ("weight", "bias")
    }
    for part, same in team.values(heads_used, used):
        assert same
        for name, gradient in whole.items():
            if gradient is None:
                assert part[name] is None, name
            else:
                torch.testing.assert_close(part[name], gradient, rtol=1e-9, atol=1e-9)


def half_precision() -> tuple[torch.dtype, float]:
    torch.manual_seed(0)
    maps = torch.randn(B, C, H, W)
    norm = norm_of("plain").float()
    want = norm_of("plain").float()(maps)
    shared_norm.share_statistics(norm)
    got = norm(maps[collective.rank() :: collective.ranks()].bfloat16())
    shared_norm.forget()
    return got.dtype, float((got.float() - want[collective.rank() :: collective.ranks()]).abs().max())


def test_half_precision_maps_have_statistics_in_float32(team: Team) -> None:
    for dtype, error in team.values(half_precision):
        assert dtype == torch.bfloat16
        assert error < 0.03


def other_norms() -> tuple[list[str], str]:
    kept = nn.Sequential(instance_norm(C), nn.GroupNorm(1, C), nn.BatchNorm2d(C))
    names = list(kept.state_dict())
    shared_norm.share_statistics(kept)
    assert list(kept.state_dict()) == names
    shared_norm.share_statistics(kept)  # twice is once
    try:
        shared_norm.share_statistics(nn.Sequential(nn.Identity(), nn.BatchNorm1d(C)))
    except SpecError as error:
        return [type(module).__name__ for module in kept], str(error)
    return [], ""


def test_norms_of_samples_stay_and_unknown_ones_are_told(team: Team) -> None:
    for kept, told in team.values(other_norms):
        assert kept == ["InstanceNorm2d", "GroupNorm", "SharedBatchNorm2d"]
        assert told == (
            "recipe.sync_bn: statistics of BatchNorm1d (1) cannot be shared between processes. "
            "Use BatchNorm2d or BatchNormAct2d, or leave sync_bn out"
        )


def test_a_process_alone_keeps_its_norms() -> None:
    norm = nn.Sequential(nn.BatchNorm2d(C))
    shared_norm.share_statistics(norm)
    assert type(norm[0]) is nn.BatchNorm2d
    loss = torch.ones((), requires_grad=True)
    assert shared_norm.connected(loss) is loss


def averaged() -> list[Tensor]:
    norm, frozen = nn.BatchNorm2d(C), nn.BatchNorm2d(C).eval()
    for each in (norm, frozen):
        each.running_mean.fill_(collective.rank())
        each.running_var.fill_(10 * collective.rank())
    shared_norm.average_statistics(nn.ModuleList([norm, frozen]))
    return [norm.running_mean[0], norm.running_var[0], frozen.running_mean[0]]


def test_running_averages_of_norms_in_training_become_their_mean(team: Team) -> None:
    assert [[float(v) for v in found] for found in team.values(averaged)] == [[0.5, 5.0, 0.0], [0.5, 5.0, 1.0]]
