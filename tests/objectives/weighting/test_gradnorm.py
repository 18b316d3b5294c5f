import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from weighting_toys import NAMES, Net, batch, losses_of, tasks

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.handed import Handed
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.objectives.weighting.gradnorm import GradNorm, shared_gradients
from mtlrepro.spec import ModelSpec

SIZES = st.floats(0.1, 10)


class Shared(nn.Module):
    """A backbone of one 2 x 2 weight; the loss of a task is a slope of its own times the sum of the weight."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.backbone.double().weight.data.fill_(0.25)

    def losses(self, slopes, rest=None) -> Losses:
        found = {name: slope * self.backbone.weight.sum() for name, slope in slopes.items()}
        total = sum(found.values(), torch.zeros((), dtype=torch.float64))
        other = None if rest is None else rest * self.backbone.bias.square().sum()
        return Losses(total if other is None else total + other, {}, found, other)


def with_weights(values, names=NAMES, **options):
    scheme = GradNorm(tasks(names), **options).double()
    for name, value in zip(names, values, strict=True):
        scheme.weights[name].data.fill_(value)
    return scheme


def imbalance(weights, norms, losses, initial, alpha, target=None):
    """Equation 2 with G = w g; the target is a constant where it is given."""
    size = weights * norms
    progress = losses / initial
    target = size.mean() * (progress / progress.mean()) ** alpha if target is None else target
    return np.abs(size - target).sum(), target


THREE = st.lists(SIZES, min_size=3, max_size=3).map(np.array)


@given(THREE, THREE, THREE, st.floats(0, 3))
@settings(deadline=None, max_examples=30)
def test_the_weights_own_loss_is_equation_2(first, now, weights, alpha):
    """Slope a gives a loss of a and a gradient of a in each of four elements, so a norm of 2 a."""
    model, scheme = Shared(), with_weights(weights, alpha=alpha)
    scheme(model.losses(dict(zip(NAMES, first, strict=True))), model)
    assert scheme.initial.tolist() == pytest.approx(first)
    for name, value in zip(NAMES, weights, strict=True):
        scheme.weights[name].data.fill_(value)
    total = scheme(model.losses(dict(zip(NAMES, now, strict=True))), model)
    scaled = 3 * weights / weights.sum()
    want, target = imbalance(scaled, 2 * now, now, first, alpha)
    assert total.item() == pytest.approx((scaled * now).sum() + want, rel=1e-9)
    found = [g.item() for g in torch.autograd.grad(total, [scheme.weights[t] for t in NAMES], retain_graph=True)]
    for i in range(3):
        # The network's own sum gives the weights no gradient; that of equation 2 is one with the target held fixed.
        if abs(scaled[i] * 2 * now[i] - target[i]) < 1e-5:
            continue
        step = np.eye(3)[i] * 1e-7
        up, down = (imbalance(scaled + s, 2 * now, now, first, alpha, target)[0] for s in (step, -step))
        assert found[i] == pytest.approx((up - down) / 2e-7, rel=1e-5)
    # Nothing of equation 2 reaches the network.
    (slope,) = torch.autograd.grad(total, model.backbone.weight)
    assert slope.numpy() == pytest.approx(np.full((2, 2), (scaled * now).sum()), rel=1e-9)
    assert list(scheme.figures()["weight"].values()) == pytest.approx(scaled, rel=1e-9)


def test_weights_are_scaled_to_the_number_of_tasks_and_stay_above_0():
    model, scheme = Shared(), with_weights((-1.0, 1.0, 2.0))
    shown = scheme.figures()["weight"]
    assert [scheme.weights[t].item() for t in NAMES] == [-1, 1, 2]
    scheme(model.losses(dict.fromkeys(NAMES, 1.0)), model)
    weights = [scheme.weights[t].item() for t in NAMES]
    assert weights == pytest.approx([1e-6, 1, 2], rel=1e-5)
    assert sum(weights) == pytest.approx(3, rel=1e-12)
    assert list(shown.values()) == weights


def test_training_evens_out_the_gradients():
    """With losses that stay as they are, α has no say, and a task of twice the gradient gets half the weight."""
    model, scheme = Shared(), GradNorm(tasks(), lr=0.02)
    (group,) = scheme.groups()
    assert (group.optimizer, group.lr, group.schedule) == ("adam", 0.02, "constant")
    optimizer = torch.optim.Adam(group.parameters, lr=group.lr)
    for _ in range(80):
        optimizer.zero_grad()
        scheme(model.losses({"semseg": 1.0, "depth": 2.0, "normals": 4.0}), model).backward()
        optimizer.step()
    weights = list(scheme.figures()["weight"].values())
    assert weights == pytest.approx([12 / 7, 6 / 7, 3 / 7], abs=0.05)


def test_absent_and_empty_tasks_are_in_no_mean():
    model = Shared()
    scheme, pair = with_weights((1.5, 0.5, 1.0)), with_weights((1.5, 0.5), NAMES[:2])
    for slopes in ({"semseg": 1.0, "depth": 2.0}, {"semseg": 3.0, "depth": 1.0}):
        empty = model.losses({**slopes, "normals": 0.0})
        for one in (model.losses(slopes), empty):
            for p in scheme.parameters():
                p.grad = None
            total = scheme(one, model)
            total.backward()
            want = pair(model.losses(slopes), model)
            assert total.item() == pytest.approx(want.item(), rel=1e-12)
            (absent,) = [scheme.weights["normals"].grad]
            assert (absent is None) == (one is not empty)
            assert not absent
    assert scheme.initial.tolist() == [1, 2, 0]
    scheme(model.losses({"semseg": 1.0, "normals": 5.0}), model)
    assert scheme.initial.tolist() == [1, 2, 5]


@pytest.mark.parametrize("names", [NAMES, ("depth",)])
def test_one_task_alone_moves_no_weight(names):
    model, scheme = Shared(), GradNorm(tasks(names))
    losses = model.losses({"depth": 3.0}, rest=2.0)
    total = scheme(losses, model)
    assert total.item() == pytest.approx(losses.total.item())
    total.backward()
    assert all(p.grad is None for p in scheme.parameters())
    assert scheme.initial[names.index("depth")] == 3


def test_losses_of_0_give_no_nan():
    model, scheme = Shared(), GradNorm(tasks())
    for slopes in (dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 0.0)):
        total = scheme(model.losses(slopes), model)
        found = torch.autograd.grad(total, [*scheme.parameters(), model.backbone.weight])
        assert all(torch.isfinite(g).all() for g in (total, *found))


def test_the_order_of_tasks_does_not_matter():
    model, values = Shared(), {"semseg": 1.0, "depth": 2.0, "normals": 4.0}
    totals = [GradNorm(tasks(names))(model.losses(values), model).item() for names in (NAMES, NAMES[::-1])]
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)


# the shared weight


def supervised_losses(model, names=NAMES):
    return Supervised(tasks(names), dict.fromkeys(names, 1.0))(model, batch(0), 0.0)


def test_gradients_are_those_of_the_last_shared_weight():
    model = Net()
    losses = supervised_losses(model)
    found = shared_gradients(list(losses.tasks.values()), model)
    for task, gradient in zip(losses.tasks, found, strict=True):
        model.zero_grad()
        losses.tasks[task].backward(retain_graph=True)
        assert torch.equal(gradient, model.backbone[2].weight.grad)


class Branches(Net):
    """A backbone with a part that one task alone reads, and one that nobody reads."""

    def __init__(self):
        super().__init__()
        self.backbone.extend([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)])

    def forward(self, image):
        encoder = self.backbone
        shared = encoder[2](encoder[1](encoder[0](image)))
        outputs = super().forward(image)
        outputs.final = {name: head(shared) for name, head in self.heads.items()}
        outputs.final["depth"] = self.heads["depth"](encoder[3](shared))
        return outputs


def test_what_not_all_losses_reach_is_passed_over():
    model = Branches()
    losses = supervised_losses(model)
    found = shared_gradients(list(losses.tasks.values()), model)
    want = torch.autograd.grad(losses.tasks["semseg"], model.backbone[2].weight, retain_graph=True)
    assert torch.equal(found[list(losses.tasks).index("semseg")], want[0])
    (alone,) = shared_gradients([losses.tasks["depth"]], model)
    want = torch.autograd.grad(losses.tasks["depth"], model.backbone[3].weight)
    assert torch.equal(alone, want[0])


def test_a_network_on_handed_maps_uses_its_own_shared_weight():
    model = Net()
    trunk, model.backbone = model.backbone, Handed((4,), (1,))
    model.trunk = trunk
    model.forward = lambda image: Net.forward(model, image)
    model.backbone.maps = None
    model.backbone.forward = trunk.forward
    losses = supervised_losses(model)
    total = GradNorm(tasks())(losses, model)
    assert torch.isfinite(total)
    assert total > losses.total
    assert total.dtype == losses.total.dtype == torch.float32


def test_a_frozen_backbone_is_named():
    model = Net()
    model.backbone.requires_grad_(False)
    with pytest.raises(SpecError, match=r"objective\.weighting: the losses share no weight .*encoder_lr") as caught:
        GradNorm(tasks())(supervised_losses(model), model)
    assert caught.value.mend


def test_a_frozen_layer_is_passed_over():
    model = Net()
    model.backbone[2].requires_grad_(False)
    losses = supervised_losses(model)
    assert shared_gradients(list(losses.tasks.values()), model)[0].shape == model.backbone[0].weight.shape


@pytest.mark.parametrize("options", [{"alpha": -1}, {"alpha": math.nan}, {"lr": 0}, {"lr": "fast"}])
def test_odd_options_are_named(options):
    with pytest.raises(SpecError, match=next(iter(options))):
        GradNorm(tasks(), **options)


def test_an_unknown_task_is_named():
    with pytest.raises(SpecError, match="unknown task 'edges'"):
        GradNorm(tasks())(losses_of({"edges": 1.0})[0], Shared())


@pytest.mark.parametrize(
    ("arch", "backbone", "layer"),
    [
        ("mt_cp", "mask2former_nano", "network.transformer_module.decoder.mask_predictor.mask_embedder.2.0"),
        ("mtl", "hrnet_nano", "stage4.0.fuse_layers.3.2.0.0"),
        ("invpt", "vit_nano", "blocks.3.mlp.fc2"),
        ("mtl", "resnet_nano", "layer4.0.downsample.0"),
        ("segnet", "segnet_nano", "stages.4.6"),
    ],
)
def test_the_last_shared_layer_of_real_networks(arch, backbone, layer):
    """Not a table of embeddings, which Mask2Former registers last."""
    torch.manual_seed(0)
    model = build_model(ModelSpec(arch, backbone, NAMES[:2]), dict.fromkeys(NAMES, 2), (64, 64))
    losses = [maps.square().mean() for maps in model(torch.randn(2, 3, 64, 64)).final.values()]
    weight = model.backbone.get_submodule(layer).weight
    for found, loss in zip(shared_gradients(losses, model), losses, strict=True):
        (wanted,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert torch.equal(found, wanted)
