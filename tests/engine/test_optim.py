from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtlrepro.data.sample import Batch
from mtlrepro.engine.optim import (
    OPTIMIZERS,
    Several,
    build_optimizer,
    halve,
    learning_rate,
    optimizers_of,
    set_learning_rates,
)
from mtlrepro.engine.train import set_training
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.spec import ModelSpec, Recipe

# Base rate, epochs, then the rates of epochs 0, 1, E/4, E/2, E-10 and E-1 (MTI-Net supplement A.2, worked out by hand).
GOLDEN = [
    (1e-4, 100, (1e-4, 9.9099548e-5, 7.7188951e-5, 5.3588673e-5, 1.2589254e-5, 1.5848932e-6)),
    (1e-4, 80, (1e-4, 9.8874294e-5, 7.7188951e-5, 5.3588673e-5, 1.5389305e-5, 1.9373987e-6)),
    (5e-5, 100, (5e-5, 4.9549774e-5, 3.8594475e-5, 2.6794337e-5, 6.2946271e-6, 7.9244660e-7)),
    (1e-2, 60, (1e-2, 9.8498742e-3, 7.7188951e-3, 5.3588673e-3, 1.9937187e-3, 2.5099431e-4)),
]


def recipe(optimizer: str = "adam", lr: float = 1e-2, epochs: int = 10, schedule: str = "poly") -> Recipe:
    return Recipe(optimizer, lr, 0.1, batch=2, epochs=epochs, momentum=0.8, schedule=schedule)


class Owner(Objective):
    """Owns two parameters that follow the recipe, and a group for each (lr_factor, period)."""

    def __init__(self, *special: tuple[float, float | None]):
        super().__init__({}, {})
        self.usual = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(2)])
        self.special = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in special])
        self.rates = special

    def groups(self) -> list[Group]:
        pairs = zip(self.special, self.rates, strict=True)
        return [Group([parameter], *rate) for parameter, rate in pairs]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        raise NotImplementedError


@pytest.mark.parametrize(("base", "epochs", "rates"), GOLDEN)
def test_poly_schedule_matches_the_paper(base: float, epochs: int, rates: tuple[float, ...]) -> None:
    at = (0, 1, epochs // 4, epochs // 2, epochs - 10, epochs - 1)
    got = [learning_rate(recipe(lr=base, epochs=epochs), epoch) for epoch in at]
    assert got == pytest.approx(rates, rel=5e-8)


STEPS = {
    0: (2.000000e-5, 1.000000e-2, 1.000000e-4),
    1: (1.999955e-5, 9.999775e-3, 9.999775e-5),
    100: (1.995499e-5, 9.977497e-3, 9.977497e-5),
    1000: (1.954943e-5, 9.774716e-3, 9.774716e-5),
    10000: (1.543779e-5, 7.718895e-3, 7.718895e-5),
    20000: (1.071773e-5, 5.358867e-3, 5.358867e-5),
    30000: (5.743492e-6, 2.871746e-3, 2.871746e-5),
    39000: (7.230628e-7, 3.615314e-4, 3.615314e-6),
    39999: (1.442700e-9, 7.213500e-7, 7.213500e-9),
}
"""Step of 40,000 -> rates of InvPT, ATRC and MTI-Net, by the public implementation of InvPT."""


@pytest.mark.parametrize("step", STEPS)
def test_poly_schedule_of_steps(step: int) -> None:
    base = dataclasses.replace(recipe(epochs=0), steps=40_000)
    got = [learning_rate(dataclasses.replace(base, lr=lr), step) for lr in (2e-5, 1e-2, 1e-4)]
    assert got == pytest.approx(STEPS[step], rel=5e-7)


def test_rates_fall_and_stay_positive() -> None:
    rates = [learning_rate(recipe(), epoch) for epoch in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


BETA2 = {"adam": 0.999, "adam_b98": 0.98, "adam_b99": 0.99, "adamw": 0.999}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_follow_the_textbook(name: str) -> None:
    """Coupled weight decay: g + wd p enters Adam's moments (Kingma & Ba, 2015, algorithm 1) and SGD's velocity.

    AdamW shrinks the weights themselves instead (Loshchilov & Hutter, 2019, algorithm 2).
    """
    start, gradients = 2.0, (0.5, -1.0, 0.25)
    model = nn.ParameterList([nn.Parameter(torch.tensor([start], dtype=torch.float64))])
    optimizer, parameter = build_optimizer(model, Owner(), recipe(name)), model[0]
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()

    p, m, v = start, 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        coupled = name != "adamw"
        g = gradient + 0.1 * p * coupled
        p -= 1e-2 * 0.1 * p * (not coupled)
        if name in BETA2:
            beta = BETA2[name]
            m, v = 0.9 * m + 0.1 * g, beta * v + (1 - beta) * g * g
            p -= 1e-2 * (m / (1 - 0.9**t)) / ((v / (1 - beta**t)) ** 0.5 + 1e-8)
        else:
            m = g if t == 1 else 0.8 * m + g
            p -= 1e-2 * m
    assert float(parameter.detach()) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(("name", "lr", "epochs"), [("adam", 1e-4, 100), ("sgd", 1e-2, 60)])
def test_recipes_of_mti_net_step_as_pytorchs_own_optimizers(name: str, lr: float, epochs: int) -> None:
    """Its public code has one group of all parameters, and a rate base (1 - e / E)^0.9 that it sets once an epoch."""
    r = Recipe(name, lr, 1e-4, batch=8, epochs=epochs, momentum=0.9)
    torch.manual_seed(0)
    mine, theirs = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)) for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    published: torch.optim.Optimizer
    if name == "adam":
        published = torch.optim.Adam(theirs.parameters(), lr=lr, weight_decay=1e-4)
    else:
        published = torch.optim.SGD(theirs.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    own = build_optimizer(mine, Owner(), r)
    for epoch in range(3):
        set_learning_rates(own.param_groups, r, epoch)
        for group in published.param_groups:
            group["lr"] = lr * (1 - epoch / epochs) ** 0.9
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        own.step()
        published.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-3 * lr)


def test_a_rate_of_its_own_is_no_multiple_of_0() -> None:
    class Rated(Owner):
        def groups(self) -> list[Group]:
            return [Group(list(self.parameters()), lr=0.025, optimizer="adam")]

    with pytest.raises(SpecError, match="rate of 0") as told:
        build_optimizer(nn.Linear(2, 1), Rated((1.0, None)), recipe(lr=0.0))
    assert told.value.field == "recipe.lr"


def test_every_parameter_decays_biases_and_normalisation_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    (group,) = build_optimizer(model, Owner(), recipe()).param_groups
    assert len(group["params"]) == 4 + 2
    assert group["weight_decay"] == 0.1


def same_objects(found: Sequence[object], wanted: Sequence[object]) -> bool:
    return [*map(id, found)] == [*map(id, wanted)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_of_an_objective_are_trained_apart_and_once(name: str) -> None:
    model, objective = nn.Linear(2, 1), Owner((10.0, 0.15), (0.1, None))
    usual, first, second = build_optimizer(model, objective, recipe(name)).param_groups
    assert same_objects(usual["params"], [*model.parameters(), *objective.usual])
    assert same_objects([*first["params"], *second["params"]], [*objective.special])
    assert [g["lr_factor"] for g in (usual, first, second)] == [1.0, 10.0, 0.1]
    assert [g["schedule"] is None for g in (usual, first, second)] == [True, False, True]
    assert {g["weight_decay"] for g in (usual, first, second)} == {0.1}


def test_a_group_multiplies_its_own_schedule_or_the_recipes() -> None:
    """FiLM columns of MTPSL: ten times the rate, halved after every 0.15 of the training."""
    r = recipe(lr=1e-3, epochs=20, schedule="halve")
    groups = build_optimizer(nn.Linear(1, 1), Owner((10.0, 0.15), (0.1, None)), r).param_groups
    seen = []
    for epoch in range(20):
        returned = set_learning_rates(groups, r, epoch)
        seen.append([group["lr"] for group in groups])
        assert returned == seen[-1][0] == learning_rate(r, epoch)
    usual, film, follower = zip(*seen, strict=True)
    assert usual == (1e-3,) * 10 + (5e-4,) * 10
    assert film == pytest.approx([1e-2 * 0.5 ** (epoch // 3) for epoch in range(20)], rel=1e-12)
    assert follower == pytest.approx([0.1 * rate for rate in usual], rel=1e-12)


class Network(nn.Module):
    """A backbone and a head of one weight each."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)


class Adversary(Owner):
    """Its parameters have an optimizer and a schedule of their own."""

    def groups(self) -> list[Group]:
        return [Group([*self.special], 0.5, schedule="poly", optimizer="adam_b99")]


def test_the_encoder_has_a_rate_of_its_own() -> None:
    network = Network()
    r = dataclasses.replace(recipe("adam_b98", 3e-4, schedule="drop"), steps=40_000, encoder_lr=2e-4)
    usual, encoder = build_optimizer(network, Owner(), r).param_groups
    assert same_objects(encoder["params"], [network.backbone.weight])
    assert len(usual["params"]) == 1 + 2
    seen = {}
    for step in (0, 29_999, 30_000, 39_999):
        set_learning_rates([usual, encoder], r, step)
        seen[step] = (usual["lr"], encoder["lr"])
    # DenseMTL, section 4.1: updates 1 to 30,000 at the full rate, the others at a tenth.
    assert seen[0] == seen[29_999] == pytest.approx((3e-4, 2e-4))
    assert seen[30_000] == seen[39_999] == pytest.approx((3e-5, 2e-5))


def test_of_a_pyramid_the_pretrained_part_alone_is_the_encoder() -> None:
    """What pinned weights are of has its own rate, or is frozen; the pyramid starts as new and learns as heads do."""
    for rate in (2e-4, 0.0):
        network = build_model(ModelSpec("mtl", "fpn_nano", ("semseg", "depth")), {"semseg": 3, "depth": 1})
        r = dataclasses.replace(recipe("adam", 3e-4), encoder_lr=rate)
        usual, *own = build_optimizer(network, Owner(), r).param_groups
        set_training(network, r)
        encoder, pyramid = network.backbone.encoder, network.backbone.pyramid
        assert {id(p) for p in usual["params"]} >= {id(p) for p in (*pyramid.parameters(), *network.heads.parameters())}
        assert [same_objects(g["params"], list(encoder.parameters())) for g in own] == [True] * bool(rate)
        assert {p.requires_grad for p in encoder.parameters()} == {rate > 0}
        assert (encoder.training, pyramid.training) == (rate > 0, True)


def test_the_first_phase_of_self_supervised_pretraining_drops_after_160000_of_300000_steps() -> None:
    r = dataclasses.replace(recipe(lr=1e-4, schedule="drop_early"), steps=300_000)
    assert [learning_rate(r, s) for s in (159_999, 160_000)] == pytest.approx([1e-4, 1e-5])


def test_parameters_with_an_optimizer_of_their_own_are_stepped_by_it() -> None:
    """As by two optimizers: SGD with decay for the network, Adam without for the adversary."""
    network, adversary = Network(), Adversary((1.0, None))
    r = dataclasses.replace(recipe("sgd", schedule="constant"), steps=100)
    both = build_optimizer(network, adversary, r)
    assert isinstance(both, Several)
    assert [len(numbers) for numbers in optimizers_of(both)] == [4, 1]
    assert [g["weight_decay"] for g in both.param_groups] == [0.1, 0.0]
    assert both.param_groups[1]["betas"] == (0.9, 0.99)
    set_learning_rates(both.param_groups, r, 50)
    assert [g["lr"] for g in both.param_groups] == pytest.approx([1e-2, 0.5e-2 * 0.5**0.9])
    start = network.head.weight.detach().clone()
    for parameter in (network.head.weight, adversary.special[0]):
        parameter.grad = torch.full_like(parameter, 3.0)
    both.step()
    assert network.head.weight.item() == pytest.approx(float(start - 1e-2 * (3.0 + 0.1 * start)), rel=1e-6)
    assert adversary.special[0].item() == pytest.approx(1 - 0.5e-2 * 0.5**0.9, rel=1e-5)  # Adam's first step: the rate
    assert sorted(both.state_dict()["state"]) == [1, 4]  # the head and the adversary
    both.zero_grad()
    assert network.head.weight.grad is None
    assert adversary.special[0].grad is None


class Fixed(Owner):
    """Its parameters have a rate of their own, whatever the recipe's: one in the recipe's optimizer, one in Adam."""

    def groups(self) -> list[Group]:
        first, second = self.special
        return [Group([first], lr=1e-4), Group([second], lr=3e-4, schedule="poly", optimizer="adam_b99")]


@pytest.mark.parametrize("rate", [1e-2, 2.5e-4])
def test_a_group_may_have_a_rate_that_is_not_the_recipes(rate: float) -> None:
    r = recipe("sgd", lr=rate, schedule="constant")
    both = build_optimizer(Network(), Fixed((1.0, None), (1.0, None)), r)
    for epoch in (0, 4, 9):
        set_learning_rates(both.param_groups, r, epoch)
        rates = [group["lr"] for group in both.param_groups]
        assert rates == pytest.approx([rate, 1e-4, 3e-4 * (1 - epoch / 10) ** 0.9], rel=1e-12)


def test_poly_is_followed_by_a_group_without_a_period() -> None:
    r = recipe(epochs=10)
    groups = build_optimizer(nn.Linear(1, 1), Owner((3.0, None), (2.0, 0.5)), r).param_groups
    rates = []
    for epoch in range(10):
        set_learning_rates(groups, r, epoch)
        rates.append(tuple(group["lr"] for group in groups))
    assert [b / a for a, b, _ in rates] == pytest.approx([3.0] * 10)
    assert [c for _, _, c in rates] == pytest.approx([2e-2] * 5 + [1e-2] * 5)


@pytest.mark.parametrize(
    ("epochs", "drops"),
    [(400, [200]), (200, [100]), (20, [10]), (1, []), (5, [2, 4])],
)
def test_halving_at_half_time(epochs: int, drops: list[int]) -> None:
    """JTR's public code: step size `epochs / 2`, factor 0.5."""
    r = recipe(epochs=epochs, schedule="halve", lr=1.0)
    rates = [learning_rate(r, epoch) for epoch in range(epochs)]
    assert [e for e in range(1, epochs) if rates[e] < rates[e - 1]] == drops
    assert rates[0] == 1.0
    assert rates[-1] == 0.5 ** len(drops)


@given(st.integers(1, 500), st.floats(0.01, 1.0))
def test_halving_is_a_staircase_of_equal_steps(epochs: int, period: float) -> None:
    rates = [halve(epoch, epochs, period) for epoch in range(epochs)]
    length = max(1, round(period * epochs))
    assert rates[0] == 1.0
    for start in range(0, epochs, length):
        assert len(set(rates[start : start + length])) == 1
        assert start == 0 or rates[start] == rates[start - 1] / 2


def test_unknown_names_are_told_with_their_field() -> None:
    with pytest.raises(SpecError, match=r"recipe\.optimizer: unknown optimizer 'adm'\. Did you mean 'adam'"):
        build_optimizer(nn.Linear(1, 1), Owner(), recipe("adm"))
    with pytest.raises(SpecError, match=r"recipe\.schedule: unknown schedule 'cosine'\..*Known: .*poly"):
        learning_rate(recipe(schedule="cosine"), 0)


def test_learning_rates_of_the_released_schedules() -> None:
    """JTR halves once in 400 epochs, MTPSL once in 200; MTPSL's FiLM columns start at 1e-3 and halve every 30."""
    jtr = Recipe("adam", 1e-4, 0.0, batch=4, epochs=400, schedule="halve")
    assert [learning_rate(jtr, e) for e in (0, 199, 200, 399)] == pytest.approx([1e-4, 1e-4, 5e-5, 5e-5])
    mtpsl = Recipe("adam", 1e-4, 0.0, batch=4, epochs=200, schedule="halve")
    assert [learning_rate(mtpsl, e) for e in (0, 99, 100, 199)] == pytest.approx([1e-4, 1e-4, 5e-5, 5e-5])
    film = [10 * mtpsl.lr * halve(e, 200, 0.15) for e in (29, 30, 60, 90, 180, 199)]
    assert film == pytest.approx([1e-3, 5e-4, 2.5e-4, 1.25e-4, 1.5625e-5, 1.5625e-5])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"clip": -1.0}, "clip"),
        ({"steps": -5}, "steps"),
        ({"encoder_lr": -1e-3}, "encoder_lr"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": 0.0, "encoder_lr": 1e-3}, "encoder_lr"),
    ],
)
def test_numbers_that_no_training_can_have_are_told(wrong: dict[str, float], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_optimizer(Network(), Owner(), dataclasses.replace(recipe(), **wrong))  # type: ignore[arg-type]
    assert caught.value.field == f"recipe.{field}"
