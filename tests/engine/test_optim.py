from __future__ import annotations

import pytest
import torch
from torch import nn

from mtlrepro.engine.optim import OPTIMIZERS, build_optimizer, learning_rate
from mtlrepro.errors import SpecError
from mtlrepro.spec import Recipe

# Base rate, epochs, then the rates of epochs 0, 1, E/4, E/2, E-10 and E-1 (MTI-Net supplement A.2, worked out by hand).
GOLDEN = [
    (1e-4, 100, (1e-4, 9.9099548e-5, 7.7188951e-5, 5.3588673e-5, 1.2589254e-5, 1.5848932e-6)),
    (1e-4, 80, (1e-4, 9.8874294e-5, 7.7188951e-5, 5.3588673e-5, 1.5389305e-5, 1.9373987e-6)),
    (1e-2, 60, (1e-2, 9.8498742e-3, 7.7188951e-3, 5.3588673e-3, 1.9937187e-3, 2.5099431e-4)),
]


def recipe(optimizer: str = "adam", lr: float = 1e-2, epochs: int = 10, schedule: str = "poly") -> Recipe:
    return Recipe(optimizer, lr, 0.1, batch=2, epochs=epochs, momentum=0.8, schedule=schedule)


@pytest.mark.parametrize(("base", "epochs", "rates"), GOLDEN)
def test_poly_schedule_matches_the_paper(base: float, epochs: int, rates: tuple[float, ...]) -> None:
    at = (0, 1, epochs // 4, epochs // 2, epochs - 10, epochs - 1)
    got = [learning_rate(recipe(lr=base, epochs=epochs), epoch) for epoch in at]
    assert got == pytest.approx(rates, rel=5e-8)


def test_rates_fall_and_stay_positive() -> None:
    rates = [learning_rate(recipe(), epoch) for epoch in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_follow_the_textbook(name: str) -> None:
    """Coupled weight decay: g + wd p enters Adam's moments (Kingma & Ba, 2015, algorithm 1) and SGD's velocity."""
    start, gradients = 2.0, (0.5, -1.0, 0.25)
    parameter = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = build_optimizer([parameter], recipe(name))
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()

    p, m, v = start, 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient + 0.1 * p
        if name == "adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            p -= 1e-2 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
        else:
            m = g if t == 1 else 0.8 * m + g
            p -= 1e-2 * m
    assert float(parameter.detach()) == pytest.approx(p, rel=1e-12)


def test_every_parameter_decays_biases_and_normalisation_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    (group,) = build_optimizer(model.parameters(), recipe()).param_groups
    assert len(group["params"]) == 4
    assert group["weight_decay"] == 0.1


def test_unknown_names_are_told_with_their_field() -> None:
    with pytest.raises(SpecError, match=r"recipe\.optimizer: unknown optimizer 'adm'\. Did you mean 'adam'"):
        build_optimizer([], recipe("adm"))
    with pytest.raises(SpecError, match=r"recipe\.schedule: unknown schedule 'cosine'\..*Known: poly"):
        learning_rate(recipe(schedule="cosine"), 0)
