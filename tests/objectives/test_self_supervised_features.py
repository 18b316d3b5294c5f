"""Self-supervised depth: the encoder is held near that of another run."""

import pytest
import torch
from torch import nn
from video_world import Stages, Tiny, make, world

from mtlrepro.errors import SpecError


def test_the_distance_of_features_is_that_of_the_whole_batch_as_one_vector():
    batch, _ = world((32, 48), samples=2)
    torch.manual_seed(3)
    model, origin = Tiny(), Tiny()
    origin.backbone.append(nn.AdaptiveAvgPool2d((4, 6)))
    origin = nn.ModuleDict({"backbone": Stages(origin.backbone)}).train()
    plain, weighted = make(), make(feature_weight=0.01)
    weighted.adopt([origin])
    assert not origin.training
    assert weighted.state_dict().keys() == plain.state_dict().keys()
    found = []
    for objective in (plain, weighted):
        torch.manual_seed(0)
        found.append(objective(model, batch, 0.0))
    want = (model(batch.image).features[-1] - origin["backbone"](batch.image)[-1]).square().sum().sqrt()
    assert found[1].terms["features"].item() == pytest.approx(want.item(), rel=1e-5)
    assert (found[1].total - found[0].total).item() == pytest.approx(0.01 * want.item(), rel=1e-3)
    found[1].total.backward()
    assert all(p.grad is None for p in origin.parameters())


def test_a_run_equal_to_its_origin_is_at_distance_0_with_a_gradient():
    batch, _ = world((32, 48), samples=2)
    model = Tiny()
    objective = make(feature_weight=1.0)
    objective.adopt([nn.ModuleDict({"backbone": Stages(nn.Sequential(model.backbone, nn.AdaptiveAvgPool2d((4, 6))))})])
    losses = objective(model, batch, 0.0)
    assert losses.terms["features"].item() == pytest.approx(0, abs=1e-6)
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_other_runs_are_wanted_for_their_features_only():
    with pytest.raises(SpecError, match="needs: SelfSupervised needs no other runs, got 1"):
        make().adopt([Tiny()])
    with pytest.raises(SpecError, match="needs: a distance of features takes 1 other run, got 2"):
        make(feature_weight=1.0).adopt([Tiny(), Tiny()])
    batch, _ = world((32, 48), samples=2)
    objective = make(feature_weight=1.0)
    with pytest.raises(SpecError, match="needs: no run was adopted"):
        objective(Tiny(), batch, 0.0)
    objective.adopt([nn.ModuleDict({"backbone": Stages(nn.Conv2d(3, 5, 1))})])
    with pytest.raises(SpecError, match=r"features: last encoder maps are \[\(2, 8, 4, 6\), \(2, 5, 32, 48\)\]"):
        objective(Tiny(), batch, 0.0)
