"""Domain adaptation: a network of two numbers that adapts."""

import pytest
import torch
from torch import nn
from two_domains import WEIGHTS, toy_tasks

from mtlrepro.data.sample import Batch
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.adaptation import Adaptation


class Scaler(nn.Module):
    """Inverse depth in proportion to the first channel, and a gain where the third says that it is the target."""

    def __init__(self):
        super().__init__()
        self.gain, self.lens = (nn.Parameter(torch.tensor(value)) for value in (300.0, 400.0))

    def forward(self, image):
        near, _, target = image.split(1, 1)
        return Outputs({"depth": near * (self.gain + self.lens * target)})


def shifted(seed):
    """Scenes of one law in both domains; the target's camera says so in its third channel."""
    generator = torch.Generator().manual_seed(seed)
    near = 0.1 + 0.9 * torch.rand(8, 1, 16, 16, generator=generator)
    camera = torch.cat([torch.zeros(4), torch.ones(4)]).view(8, 1, 1, 1).expand(8, 1, 16, 16)
    depth = (65536 / (300 * near) - 1) / 100
    return Batch(torch.cat([near, near, camera], 1), {"depth": depth}, extra=4)


def toy_run(weight, steps):
    """The network, its `lens` after every step, and what the discriminator lost there."""
    torch.manual_seed(0)
    objective, net = Adaptation(toy_tasks("depth"), WEIGHTS, widths=(8, 8), weight=weight).train(), Scaler()
    rates = [{"params": net.parameters(), "lr": 5.0}, {"params": objective.parameters(), "lr": 5e-3}]
    optimizer = torch.optim.Adam(rates, betas=(0.9, 0.99))
    lens, terms = [], []
    for step in range(steps):
        torch.manual_seed(step)
        losses = objective(net, shifted(step), 0.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        lens.append(abs(net.lens.item()))
        terms.append(losses.terms["discriminator/final/depth"].item())
    return net, lens, terms


def test_discriminators_learn_to_tell_domains_that_differ():
    net, _, terms = toy_run(weight=0.0, steps=75)
    assert terms[0] > 1.2  # chance is 2 log 2 = 1.386
    assert max(terms[-10:]) < 0.2
    assert net.lens.item() == 400.0  # nothing of the source says how the target's maps should be


def test_the_adversarial_term_pulls_the_targets_maps_towards_the_sources():
    net, lens, terms = toy_run(weight=1.0, steps=150)
    assert sum(lens[100:]) / 50 < 130  # from 400; it swings about 0, where both domains' maps follow one law
    assert max(lens[100:]) < 200
    assert sum(terms[100:]) / 50 > 0.9  # hardly told apart
    assert net.gain.item() == pytest.approx(300, rel=1e-2)  # the source's label still holds
