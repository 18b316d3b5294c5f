"""A second decoder on the same features: losses, what it leaves alone, hosts, removal."""

import copy
from functools import partial

import pytest
import torch
from numpy.random import RandomState
from torch import nn
from volume_world import INFO, TASKS, WEIGHTS, Tiny, a_batch, labels, make, plain_loss

from mtlrepro.data.sample import Batch
from mtlrepro.engine import checkpoint
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.train import take_step
from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model
from mtlrepro.models.handed import Handed
from mtlrepro.models.outputs import Outputs
from mtlrepro.spec import ModelSpec, Recipe, options
from mtlrepro.tasks import make_tasks

RECIPE = Recipe("adam", 1e-3, 1e-4, batch=2, epochs=1)


class Decoder(nn.Module):
    """The decoder of `Tiny`, with weights of its own, on maps that are handed to it."""

    def __init__(self, tasks, seed):
        super().__init__()
        whole = Tiny(tasks, seed)
        self.backbone, self.side, self.last = Handed((5, 7), (4, 8)), whole.side, whole.last

    def forward(self, image):
        fine, coarse = self.backbone(image)
        final = {n: nn.functional.interpolate(head(fine), scale_factor=4) for n, head in self.last.items()}
        return Outputs(final, {"initial": {n: head(coarse) for n, head in self.side.items()}}, [fine, coarse])


def attached(seed=5, **chosen):
    objective = make("auxiliary_heads", **chosen)
    objective.attach(lambda: Decoder(objective.tasks, seed))
    return objective


def step(objective, net, batch, progress):
    net.zero_grad()
    torch.manual_seed(3)
    losses = objective(net, batch, progress)
    losses.total.backward()
    return losses, {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize("progress", [0.1, 0.8])
def test_the_total_adds_the_second_decoders_losses(progress):
    batch = a_batch(dtype=torch.float64)
    net, objective = Tiny(make_tasks(TASKS, INFO)).double().train(), attached().double()
    losses, got = step(objective, net, batch, progress)
    net.zero_grad()
    torch.manual_seed(3)
    outputs = net(batch.image)
    maps = iter((objective.decoder.last, objective.decoder.side))
    second = [{n: head(m) for n, head in next(maps).items()} for m in outputs.features]
    alpha, want, terms = 4 * min(1, progress / 0.5), 0.0, {}
    for task in TASKS:
        for name, predictions, factor in (
            ("final", outputs.final, 1),
            ("initial", outputs.stages["initial"], 1),
            ("auxiliary/final", {n: nn.functional.interpolate(p, scale_factor=4) for n, p in second[0].items()}, alpha),
            ("auxiliary/initial", second[1], alpha),
        ):
            terms[f"{name}/{task}"] = plain_loss(task, predictions[task], batch.targets[task])
            want = want + factor * WEIGHTS[task] * terms[f"{name}/{task}"]
    assert losses.total.item() == pytest.approx(want.item(), rel=1e-12)
    found = {name: value.item() for name, value in losses.terms.items()}
    assert found.pop("alpha") == pytest.approx(alpha)
    assert found == pytest.approx({name: value.item() for name, value in terms.items()}, rel=1e-12)
    want.backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(got[name], p.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("base", ["supervised", "multi_scale", "partial"])
def test_without_weight_the_host_learns_as_without_it(base):
    batch, net = a_batch(), Tiny(make_tasks(TASKS, INFO)).train()
    other = copy.deepcopy(net)
    alone, want = step(make(base), other, batch, 0.0)
    objective = attached(base=base)
    losses, got = step(objective, net, batch, 0.0)
    assert torch.equal(losses.total, alone.total)
    for name, gradient in want.items():
        assert torch.equal(got[name], gradient), name
    for name, value in other.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    later, changed = step(objective, net, batch, 0.3)
    assert later.total > alone.total
    assert not torch.equal(changed["fine.weight"], want["fine.weight"])
    assert torch.equal(changed["last.depth.weight"], want["last.depth.weight"])


def test_no_map_is_kept_after_a_step():
    objective = attached()
    step(objective, Tiny(objective.tasks).train(), a_batch(), 0.3)
    assert objective.decoder.backbone.maps == []


def test_it_has_to_be_attached():
    with pytest.raises(SpecError, match="objective: there is no second decoder") as caught:
        make("auxiliary_heads")(Tiny(make_tasks(TASKS, INFO)), a_batch(), 0.3)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"alpha": -1}, r"options\.alpha: unexpected value -1"),
        ({"ramp": 2}, r"options\.ramp: a ramp over 2 of the training"),
        ({"base": "jtr"}, r"options\.base: objective 'jtr' does more"),
        ({"scope": "final"}, r"unknown option of objective 'auxiliary_heads': 'scope'"),
    ],
)
def test_bad_options_are_named(chosen, message):
    with pytest.raises(SpecError, match=message):
        make("auxiliary_heads", **chosen)


MAIN = ("semseg", "depth")
HOSTS = {
    "mtl": (ModelSpec("mtl", "hrnet_nano", TASKS), {}),
    "padnet": (ModelSpec("padnet", "hrnet_nano", MAIN, TASKS, options=options(width=16)), {}),
    "mti_net": (ModelSpec("mti_net", "hrnet_nano", MAIN, TASKS), {}),
    "dense_mtl": (
        ModelSpec("dense_mtl", "resnet_nano_os16", MAIN, options=options(widths=(4, 8, 8, 8, 12))),
        {"base": "multi_scale"},
    ),
    "invpt": (ModelSpec("invpt", "vit_nano", TASKS, options=options(width=16, prediction_width=8)), {}),
}


def host(name):
    """A network of a spec and the objective with a second decoder of its kind."""
    spec, chosen = HOSTS[name]
    tasks, size = make_tasks(tuple(dict.fromkeys(spec.main + spec.aux)), INFO), (64, 96)
    channels = {name: task.channels for name, task in tasks.items()}
    torch.manual_seed(0)
    net = build_model(spec, channels, size).train()
    objective = make("auxiliary_heads", names=tuple(tasks), features=net.backbone.channels, **chosen)
    objective.attach(partial(build_decoder, spec, channels, net.backbone))
    targets = {n: t.float() if t.is_floating_point() else t for n, t in labels(2, size=size).items() if n in tasks}
    return net, objective.train(), Batch(torch.from_numpy(RandomState(0).randn(2, 3, *size)).float(), targets)


@pytest.mark.parametrize("name", HOSTS)
def test_it_runs_on_hosts_that_read_maps(name, tmp_path):
    """The second decoder is as large as the first, starts elsewhere, learns, and stays behind."""
    net, objective, batch = host(name)
    decoder = {k: v for k, v in net.named_parameters() if not k.startswith("backbone.")}
    second = dict(objective.decoder.named_parameters())
    assert {k: v.shape for k, v in second.items()} == {k: v.shape for k, v in decoder.items()}
    assert any(not torch.equal(v, second[k]) for k, v in decoder.items())
    optimizer = build_optimizer(net, objective, RECIPE)
    before = {k: v.detach().clone() for k, v in second.items()}
    losses = take_step(net, objective, optimizer, batch, 0.5)
    own = {k.removeprefix("auxiliary/") for k in losses.terms if k.startswith("auxiliary/")}
    assert own == {k for k in losses.terms if not k.startswith("auxiliary/")} - {"alpha"}
    assert any(not torch.equal(v, before[k]) for k, v in second.items())
    file = tmp_path / "checkpoint.safetensors"
    checkpoint.save(file, net, objective, optimizer, checkpoint.Position(1))
    plain = host(name)[0]
    checkpoint.load_model(file, plain)
    with torch.no_grad():
        ours, theirs = net.eval()(batch.image), plain.eval()(batch.image)
    assert all(torch.equal(ours.final[task], theirs.final[task]) for task in ours.final)
    assert objective.predictions(ours, (64, 96)) == {}


def test_a_host_whose_decoder_needs_more_than_maps_is_named():
    spec = ModelSpec("segnet", "segnet_nano", MAIN)
    channels = {name: task.channels for name, task in make_tasks(MAIN, INFO).items()}
    net, objective = build_model(spec, channels), make("auxiliary_heads", names=MAIN)
    with pytest.raises(SpecError, match=r"model\.arch: a second decoder of architecture segnet"):
        objective.attach(partial(build_decoder, spec, channels, net.backbone))
