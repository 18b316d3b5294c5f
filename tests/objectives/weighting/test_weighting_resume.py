"""Every weighting in a real training that is killed in the middle of an epoch and goes on."""

import pytest
import torch
from weighting_toys import NAMES, Net, batch, same_bits, state_of, tasks

from mtlrepro.engine import checkpoint
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.optim import build_optimizer, set_learning_rates
from mtlrepro.engine.train import take_step
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.spec import Recipe

PER_EPOCH, EPOCHS, KILLED = 3, 5, 10
HIDDEN = {1: ["normals"], 4: ["semseg", "depth"], 7: NAMES, 11: ["semseg"]}
"""Step -> tasks without a label."""


class Training:
    """A tiny network under a weighting."""

    def __init__(self, name, seed):
        torch.manual_seed(seed)
        self.model = Net()
        self.objective = Supervised(tasks(), dict.fromkeys(NAMES, 1.0))
        self.objective.weighting = WEIGHTINGS[name](tasks())
        self.recipe = Recipe("adamw", 1e-2, 1e-4, batch=2, epochs=EPOCHS)
        self.optimizer = build_optimizer(self.model, self.objective, self.recipe)

    def train(self, start, stop):
        found = []
        for step in range(start, stop):
            set_learning_rates(self.optimizer.param_groups, self.recipe, step // PER_EPOCH)
            data = batch(step, HIDDEN.get(step, ()))
            found.append(take_step(self.model, self.objective, self.optimizer, data, 0.0).total.item())
            if (step + 1) % PER_EPOCH == 0:
                self.objective.weighting.end_epoch()
        return found

    def state(self):
        return {**state_of(self.model), **{f"objective.{k}": v for k, v in state_of(self.objective).items()}}


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_a_killed_training_goes_on_bit_for_bit(name, tmp_path):
    whole, killed, resumed = Training(name, 0), Training(name, 0), Training(name, 1)
    losses = whole.train(0, PER_EPOCH * EPOCHS)
    killed.train(0, KILLED)
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, killed.model, killed.objective, killed.optimizer, Position(KILLED))
    checkpoint.load(path, resumed.model, resumed.objective, resumed.optimizer)
    assert resumed.train(KILLED, PER_EPOCH * EPOCHS) == losses[KILLED:]
    assert same_bits(resumed.state(), whole.state())
    assert all(torch.isfinite(value).all() for value in whole.state().values())
    figures = whole.objective.weighting.figures()
    assert figures == resumed.objective.weighting.figures()
    assert all(set(series) == set(NAMES) for series in figures.values())
    weights = figures.get("weight", {})
    assert len(set(weights.values())) == len(weights), "every scheme that has weights has changed them"


def test_a_step_without_labels_moves_nothing():
    run = Training("uncertainty", 0)
    run.train(0, 7)
    before = run.state()
    assert run.train(7, 8) == [0.0]
    assert same_bits(before, run.state())
