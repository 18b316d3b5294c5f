"""The 3D-aware regularizer: ramp, losses in full, what it leaves alone, hosts, views, options, removal."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from torch import nn
from torch.nn import functional as F
from volume_world import (
    INFO,
    SIZE,
    SMALL,
    TASKS,
    WEIGHTS,
    Tiny,
    a_batch,
    labels,
    make,
    plain_loss,
    plain_maps,
    plain_planes,
)

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.engine import checkpoint
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.train import take_step
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.aware3d import nearest
from mtlrepro.objectives.ramped import ramp
from mtlrepro.spec import ModelSpec, Recipe, options
from mtlrepro.tasks import make_tasks

RECIPE = Recipe("adam", 1e-3, 1e-4, batch=2, epochs=1)
GRID = (6, 8)


class Fixed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


def some_outputs(seed=0, samples=2, dtype=torch.float64, names=TASKS):
    """Predictions and encoder maps that want a gradient."""
    rs, tasks = RandomState(seed), make_tasks(names, INFO)

    def draw(*shape):
        return torch.from_numpy(rs.randn(samples, *shape)).to(dtype).requires_grad_()

    final = {name: draw(task.channels, *SIZE) for name, task in tasks.items()}
    stage = {name: draw(task.channels, 3, 4) for name, task in tasks.items()}
    return Outputs(final, {"initial": stage}, [draw(5, 6, 8), draw(7, 3, 4)])


# the ramp


def test_vectors_of_the_ramp():
    steps = {0: 0.0, 1: 0.0002, 5000: 1.0, 10000: 2.0, 19999: 3.9998, 20000: 4.0, 39999: 4.0}
    assert [ramp(step / 40_000, 4.0, 0.5) for step in steps] == pytest.approx(list(steps.values()), rel=1e-12)
    assert ramp(0.0, 4.0, 0.5) == 0
    assert ramp(0.0, 3.0, 0.0) == 3
    assert ramp(0.25, 3.0, 1.0) == 0.75


# losses


@pytest.mark.parametrize("maps", ["last", "all"])
@pytest.mark.parametrize("progress", [0.1, 0.8])
def test_the_total_is_that_of_equation_2(maps, progress):
    outputs, batch = some_outputs(), a_batch(dtype=torch.float64)
    objective = make(maps=maps).double().eval()
    losses = objective(Fixed(outputs), batch, progress)
    chosen = outputs.features if maps == "all" else outputs.features[1:]
    rendered = plain_maps(objective, plain_planes(objective, chosen, GRID), GRID)
    alpha, want, terms = 4 * min(1, progress / 0.5), 0.0, {}
    for task in TASKS:
        for stage, prediction, factor in (
            ("final", outputs.final[task], 1),
            ("initial", outputs.stages["initial"][task], 1),
            ("rendered", rendered[task], alpha),
        ):
            terms[f"{stage}/{task}"] = plain_loss(task, prediction, batch.targets[task])
            want = want + factor * WEIGHTS[task] * terms[f"{stage}/{task}"]
    assert losses.total.item() == pytest.approx(want.item(), rel=1e-12)
    got = {name: value.item() for name, value in losses.terms.items()}
    assert got.pop("alpha") == pytest.approx(alpha)
    assert got == pytest.approx({name: value.item() for name, value in terms.items()}, rel=1e-12)
    assert not any(value.requires_grad for value in losses.terms.values())
    leaves = [*outputs.features[-1:], *objective.encoder.parameters(), *objective.volume.parameters()]
    for mine, plain in zip(torch.autograd.grad(losses.total, leaves), torch.autograd.grad(want, leaves), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-12)


FULL = {
    "semseg": (-0.010450, 0.120544, -0.109133, 0.328776, 0.024900, -0.142437),
    "depth": (0.075383, 0.075581, 0.089028, 0.077637, 0.055122, 0.054919),
    "normals": (0.076146, 0.554987, 0.474743, -0.720332, 0.659199, -0.609255),
}


def filled(module):
    """Parameters of k elements from RandomState(k mod 1000003), scaled by their shape."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            z = torch.from_numpy(RandomState(p.numel() % 1000003).randn(p.numel())).view(p.shape)
            if p.ndim > 1:
                p.copy_(z * math.sqrt(1.5 * len(p) / p.numel()))
            else:
                p.copy_(0.1 * z + name.endswith("weight"))
    return module.eval()


def test_vectors_of_the_whole_regularizer():
    maps = torch.from_numpy(RandomState(9).randn(2, 3, 5, 6)).float()
    small = {"stride": 1, "channels": 4, "hidden": 12, "field_hidden": 4, "samples": 4}
    objective = filled(make(features=(3,), **small))
    with torch.no_grad():
        views = objective.predictions(Outputs({}, features=[maps]), (5, 6))
    assert views["average"] == {}
    for task, want in {**FULL, "edges": FULL["depth"]}.items():
        flat = views["regularizer"][task].double().flatten()
        n = len(flat)
        got = [flat.mean(), flat.abs().mean(), *(flat[i] for i in (0, n // 3, n // 2, n - 1))]
        assert [v.item() for v in got] == pytest.approx(want, rel=1e-5, abs=1e-5)


def test_labels_can_be_brought_to_the_rendered_size():
    outputs, batch = some_outputs(), a_batch(dtype=torch.float64)
    objective = make(supervise="downsample").double().eval()
    losses = objective(Fixed(outputs), batch, 0.3)
    rendered = plain_maps(objective, plain_planes(objective, outputs.features[1:], GRID), GRID)
    for task in TASKS:
        target = batch.targets[task]
        small = F.interpolate(target.double().view(2, -1, *SIZE), GRID, mode="nearest-exact")
        small = small[:, 0].long() if task == "semseg" else small
        assert torch.equal(nearest(target, GRID), small)
        want = plain_loss(task, rendered[task], small).item()
        assert losses.terms[f"rendered/{task}"].item() == pytest.approx(want, rel=1e-12)


def test_samples_without_a_label_do_not_count():
    """Frames of a video, whose labels of other tasks are poison, behind a labelled image."""
    outputs, batch = some_outputs(samples=3), a_batch(1, 2, dtype=torch.float64)
    objective = make().double().eval()
    losses = objective(Fixed(outputs), batch, 0.3)
    rendered = plain_maps(objective, plain_planes(objective, outputs.features[1:], GRID), GRID)
    for task in TASKS:
        rows = slice(None) if task == "depth" else slice(1)
        want = plain_loss(task, rendered[task][rows], batch.targets[task][rows]).item()
        assert losses.terms[f"rendered/{task}"].item() == pytest.approx(want, rel=1e-12)
    losses.total.backward()
    assert all(torch.isfinite(maps.grad).all() for maps in outputs.features[1:])


def test_a_batch_without_any_label_of_a_rendered_task_costs_nothing():
    outputs, batch = some_outputs(names=("semseg",)), a_batch(names=("semseg",))
    batch.labelled = {"semseg": torch.zeros(2, dtype=torch.bool)}
    losses = make(names=("semseg",)).double()(Fixed(outputs), batch, 0.3)
    assert losses.total.item() == 0
    assert not losses.total.requires_grad


def test_half_precision_maps_are_rendered_in_float32():
    outputs = some_outputs(dtype=torch.float32)
    objective, batch = make().eval(), a_batch()
    want = objective(Fixed(outputs), batch, 0.3).total
    outputs.features = [maps.bfloat16() for maps in outputs.features]
    got = objective(Fixed(outputs), batch, 0.3).total
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(want.item(), rel=1e-2)


# what it leaves alone


def step(objective, net, batch, progress, seed=3):
    net.zero_grad()
    torch.manual_seed(seed)
    losses = objective(net, batch, progress)
    losses.total.backward()
    return losses, {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize("base", ["supervised", "multi_scale", "partial"])
def test_without_weight_the_host_learns_as_without_a_regularizer(base):
    """Total, gradients, running averages and the draws of dropout: all to the bit."""
    tasks, batch = make_tasks(TASKS, INFO), a_batch()
    net = Tiny(tasks).train()
    other = copy.deepcopy(net)
    alone, want = step(make(base), other, batch, 0.0)
    objective = make(base=base)
    losses, got = step(objective, net, batch, 0.0)
    assert torch.equal(losses.total, alone.total)
    assert losses.terms["alpha"] == 0
    assert {k: v for k, v in losses.terms.items() if k in alone.terms} == alone.terms
    for name, gradient in want.items():
        assert torch.equal(got[name], gradient), name
    for name, value in other.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    later, changed = step(objective, net, batch, 0.3)
    assert later.total > alone.total
    assert not torch.equal(changed["coarse.weight"], want["coarse.weight"])
    assert torch.equal(changed["last.depth.weight"], want["last.depth.weight"])  # a head is not its business


def trained(seed, steps=2, **chosen):
    net = Tiny(make_tasks(TASKS, INFO)).train()
    objective = make(**chosen)
    optimizer = build_optimizer(net, objective, RECIPE)
    for number in range(steps):
        torch.manual_seed(seed + number)
        losses = take_step(net, objective, optimizer, a_batch(seed=number), 0.2 + 0.1 * number)
    return net, objective, optimizer, losses


def test_the_same_seed_gives_the_same_bits():
    first, second, other = trained(0), trained(0), trained(7)
    assert torch.equal(first[3].total, second[3].total)
    for a, b in zip(first[:2], second[:2], strict=True):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name
    assert not torch.equal(first[3].total, other[3].total)  # other samples on the rays


def test_a_trained_host_does_without(tmp_path):
    """The checkpoint's network part has no trace of the regularizer, and predicts the same to the bit."""
    net, objective, optimizer, _ = trained(0)
    file = tmp_path / "checkpoint.safetensors"
    checkpoint.save(file, net, objective, optimizer, checkpoint.Position(2))
    tensors, _ = checkpoint.read(file)
    plain = Tiny(make_tasks(TASKS, INFO), seed=9)
    assert {k.removeprefix("model.") for k in tensors if k.startswith("model.")} == set(plain.state_dict())
    own = {k.removeprefix("objective.") for k in tensors if k.startswith("objective.")}
    assert own == set(objective.state_dict())
    assert {k.split(".")[0] for k in own} == {"encoder", "volume"}
    checkpoint.load_model(file, plain)
    image = a_batch().image
    with torch.no_grad():
        ours, theirs = net.eval()(image), plain.eval()(image)
    for task in TASKS:
        assert torch.equal(ours.final[task], theirs.final[task])
        assert torch.equal(ours.stages["initial"][task], theirs.stages["initial"][task])


def test_a_host_that_was_trained_without_can_go_on_with_it(tmp_path):
    plain, objective = Tiny(make_tasks(TASKS, INFO)), make("supervised")
    file = tmp_path / "checkpoint.safetensors"
    checkpoint.save(file, plain, objective, build_optimizer(plain, objective, RECIPE), checkpoint.Position(0))
    net = Tiny(make_tasks(TASKS, INFO), seed=9)
    checkpoint.load_model(file, net)
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in plain.state_dict().items())
    taken = checkpoint.start(file, net, make(), TASKS, TASKS)
    assert taken == len(plain.state_dict())


# hosts

MAIN = ("semseg", "depth")
HOSTS = {
    "mtl": (ModelSpec("mtl", "hrnet_nano", TASKS), {}),
    "padnet": (ModelSpec("padnet", "hrnet_nano", MAIN, TASKS, options=options(width=16)), {"maps": "all"}),
    "mti_net": (ModelSpec("mti_net", "hrnet_nano", MAIN, TASKS), {"maps": "all"}),
    "dense_mtl": (
        ModelSpec("dense_mtl", "resnet_nano_os16", MAIN, options=options(widths=(4, 8, 8, 8, 12))),
        {"base": "multi_scale"},
    ),
    "segnet": (ModelSpec("segnet", "segnet_nano", TASKS), {}),
    "invpt": (ModelSpec("invpt", "vit_nano", TASKS, options=options(width=16, prediction_width=8)), {}),
}


@pytest.mark.parametrize("host", HOSTS)
def test_it_runs_on_any_host(host):
    """One training step, which changes the encoder, and the views of an evaluation."""
    spec, chosen = HOSTS[host]
    names, size = tuple(dict.fromkeys(spec.main + spec.aux)), (64, 96)
    tasks = make_tasks(names, INFO)
    torch.manual_seed(0)
    net = build_model(spec, {name: task.channels for name, task in tasks.items()}, size).train()
    objective = make(names=names, features=net.backbone.channels, **{**chosen, "stride": 8})
    targets = {n: t.float() if t.is_floating_point() else t for n, t in labels(2, size=size).items() if n in names}
    batch = Batch(torch.from_numpy(RandomState(0).randn(2, 3, *size)).float(), targets)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    losses = take_step(net, objective, build_optimizer(net, objective, RECIPE), batch, 0.5)
    assert torch.isfinite(losses.total)
    assert {k for k in losses.terms if k.startswith("rendered/")} == {f"rendered/{name}" for name in names}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in objective.parameters())
    assert any(not torch.equal(p, before[name]) for name, p in net.named_parameters() if name.startswith("backbone."))
    with torch.no_grad():
        outputs = net.eval()(batch.image)
        views = objective.eval().predictions(outputs, size)
    assert set(views["regularizer"]) == set(names)
    assert set(views["average"]) == set(outputs.final)
    for predictions in views.values():
        assert all(p.shape == (2, tasks[name].channels, *size) for name, p in predictions.items())


# views


def test_views_are_the_rendered_maps_and_their_mean_with_the_predictions():
    outputs = some_outputs()
    del outputs.final["edges"]  # an auxiliary task
    objective = make().double().eval()
    with torch.no_grad():
        views = objective.predictions(outputs, SIZE)
        rendered = plain_maps(objective, plain_planes(objective, outputs.features[1:], GRID), GRID)
    assert set(views) == {"regularizer", "average"}
    assert set(views["average"]) == {"semseg", "depth", "normals"}
    large = {t: F.interpolate(p, SIZE, mode="bilinear", align_corners=False) for t, p in rendered.items()}
    for task in TASKS:
        torch.testing.assert_close(views["regularizer"][task], large[task], rtol=1e-9, atol=1e-12)
    tasks, average, final = objective.tasks, views["average"], outputs.final
    mean = (final["semseg"].softmax(1) + large["semseg"].softmax(1)) / 2
    torch.testing.assert_close(average["semseg"].softmax(1), mean, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(average["depth"], (final["depth"] + large["depth"]) / 2, rtol=1e-9, atol=1e-9)
    units = F.normalize(final["normals"], dim=1) + F.normalize(large["normals"], dim=1)
    torch.testing.assert_close(tasks["normals"].decode(average["normals"]), F.normalize(units, dim=1))


def test_normals_have_unit_length_before_they_are_upsampled():
    outputs, objective = some_outputs(), make().double().eval()
    with torch.no_grad():
        maps = objective.predictions(Outputs({}, features=outputs.features), (24, 32))["regularizer"]["normals"]
        assert not np.allclose(maps.norm(dim=1).numpy(), 1, rtol=1e-6)
        objective.stride = 1
        maps = objective.predictions(Outputs({}, features=outputs.features), GRID)["regularizer"]["normals"]
    np.testing.assert_allclose(maps.norm(dim=1).numpy(), 1, rtol=1e-12)


# options


def test_one_task_has_the_only_field():
    objective, everything = make(render=("semseg",)), make()
    names = {k.split(".")[2] for k in objective.state_dict() if k.startswith("volume.fields.")}
    assert names == {"semseg"}
    assert {k.split(".")[2] for k in everything.state_dict() if k.startswith("volume.fields.")} == set(TASKS)
    losses = objective(Tiny(make_tasks(TASKS, INFO)).train(), a_batch(), 0.3)
    assert {k for k in losses.terms if k.startswith("rendered")} == {"rendered/semseg"}
    assert {k for k in losses.terms if k.startswith("final")} == {f"final/{task}" for task in TASKS}


def test_published_sizes():
    """2 125 806 parameters on InvPT's largest transformer, 1 600 494 on MTI-Net's HRNet-48 (NYUv2, four tasks)."""
    info = DatasetInfo("toy", TASKS, class_names=tuple(str(c) for c in range(40)))
    tasks = make_tasks(TASKS, info)
    from mtlrepro.objectives.aware3d import Aware3D

    for features, maps, want in (
        ((1024, 1024, 1024, 1024), "last", 2_125_806),
        ((48, 96, 192, 384), "all", 1_600_494),
    ):
        with torch.device("meta"):
            objective = Aware3D(tasks, dict.fromkeys(tasks, 1.0), features, maps=maps)
        assert sum(p.numel() for p in objective.parameters()) == want
        assert objective.grid((448, 576)) == (56, 72)
        assert objective.grid((512, 512)) == (64, 64)
        assert objective.grid((425, 560)) == (54, 70)


CHOICES = {
    "maps": "all",
    "stride": 2,
    "planes": "native",
    "channels": 5,
    "hidden": 4,
    "kernel": 1,
    "dropout": 0.0,
    "norm": "single",
    "aggregate": "mean",
    "samples": 5,
    "jitter": "per_image",
    "last": "opaque",
    "density": "per_task",
    "density_bias": 0.5,
    "field_hidden": 3,
    "slope": -0.2,
    "two_pass": True,
    "supervise": "downsample",
    "alpha": 1.0,
    "ramp": 1.0,
    "render": ("depth",),
    "base": "partial",
}


@pytest.mark.parametrize("option", CHOICES)
def test_every_option_tells(option):
    """The total changes with it, and the objective still learns."""
    totals = []
    for chosen in ({}, {option: CHOICES[option]}):
        outputs, objective = some_outputs(dtype=torch.float32), make(**chosen)
        torch.manual_seed(5)
        losses = objective(Fixed(outputs), a_batch(), 0.3)
        losses.total.backward()
        assert torch.isfinite(outputs.features[1].grad).all()
        learnt = [p for name, p in objective.named_parameters() if name.startswith("encoder.")]
        assert len(learnt) >= 4  # two convolutions, at least one norm
        assert all(p.grad.abs().sum() > 0 for p in learnt)
        totals.append(losses.total.item())
    assert math.isfinite(totals[1])
    assert totals[0] != totals[1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"maps": "first"}, r"options\.maps: unknown choice of maps: 'first'.*Known: all, last"),
        ({"planes": "half"}, r"options\.planes: unknown choice of planes: 'half'"),
        ({"supervise": "up"}, r"options\.supervise: unknown .*'up'"),
        ({"norm": "batch"}, r"options\.norm: unknown .*'batch'"),
        ({"aggregate": "max"}, r"options\.aggregate: unknown .*'max'"),
        ({"jitter": "none"}, r"options\.jitter: unknown .*'none'"),
        ({"last": "infinite"}, r"options\.last: unknown .*'infinite'"),
        ({"density": "none"}, r"options\.density: unknown .*'none'"),
        ({"cross_view": "depth"}, r"options\.cross_view: unknown .*'depth'"),
        ({"base": "supervise"}, r"options\.base: unknown objective 'supervise'.*'supervised'"),
        ({"base": "mtpsl"}, r"options\.base: objective 'mtpsl' does more than to compare"),
        ({"base": "aware3d"}, r"options\.base: objective 'aware3d' does more than to compare"),
        ({"render": ("semsge",)}, r"options\.render: unknown task 'semsge'.*'semseg'"),
        ({"stride": 0}, r"options\.stride: unexpected value 0.*whole number >= 1"),
        ({"samples": 2.5}, r"options\.samples: unexpected value 2\.5"),
        ({"channels": True}, r"options\.channels: unexpected value True"),
        ({"hidden": -1}, r"options\.hidden: unexpected value -1"),
        ({"field_hidden": "64"}, r"options\.field_hidden: unexpected value '64'"),
        ({"dropout": 1.0}, r"options\.dropout: unexpected value 1\.0.*share below 1"),
        ({"dropout": -0.1}, r"options\.dropout: unexpected value -0\.1"),
        ({"kernel": 2}, r"options\.kernel: a kernel of 2 cells has no centre"),
        ({"kernel": 0}, r"options\.kernel: a kernel of 0"),
        ({"density_bias": math.nan}, r"options\.density_bias: unexpected value nan.*finite"),
        ({"density_bias": False}, r"options\.density_bias: unexpected value False.*finite"),
        ({"slope": True}, r"options\.slope: unexpected value True.*finite"),
        ({"render": None}, r"options\.render: unexpected value None.*names of tasks, such as \('depth',\)"),
        ({"render": 3}, r"options\.render: unexpected value 3.*names of tasks"),
        ({"render": "depth"}, r"options\.render: unexpected value 'depth'.*names of tasks"),
        ({"render": (3,)}, r"options\.render: unexpected value \(3,\).*names of tasks"),
        ({"losses": (("depth", "disparity"),)}, r"losses\.depth: loss 'disparity' is not learnt from labels"),
        ({"cross_view": "raw", "two_pass": True}, r"options\.two_pass: .*one pass.*Use one pass with a second view"),
        ({"slope": math.inf}, r"options\.slope: unexpected value inf.*finite"),
        ({"two_pass": 1}, r"options\.two_pass: unexpected value 1.*True or False"),
        ({"alpha": -4}, r"options\.alpha: unexpected value -4"),
        ({"ramp": 1.5}, r"options\.ramp: a ramp over 1\.5 of the training"),
        ({"near": 0}, r"options\.near: unexpected value 0"),
        ({"near": 3.0, "far": 2.0}, r"options\.far: unexpected value 2\.0.*above near, 3\.0"),
    ],
)
def test_bad_options_are_named(chosen, message):
    with pytest.raises(SpecError, match=message) as caught:
        make(**chosen)
    assert caught.value.mend


def test_a_loss_that_labels_cannot_teach_may_stay_where_its_task_is_not_rendered():
    assert set(make(losses=(("depth", "disparity"),), render=("semseg",)).volume.fields) == {"semseg"}


def test_maps_that_do_not_fit_are_named():
    outputs, batch = some_outputs(dtype=torch.float32), a_batch()
    with pytest.raises(SpecError, match=r"planes: .*sizes \[\(3, 4\), \(6, 8\)\].*planes='render'"):
        make(maps="all", planes="native")(Fixed(outputs), batch, 0.3)
    with pytest.raises(SpecError, match="features: there is no encoder map"):
        make(features=())
    outputs.features = []
    with pytest.raises(SpecError, match=r"planes: .*sizes \[\]"):
        make()(Fixed(outputs), batch, 0.3)


def test_labels_that_the_base_makes_cannot_be_made_smaller():
    info = DatasetInfo("toy", ("depth", "normals"), surface="central")
    from mtlrepro.objectives.aware3d import Aware3D

    tasks = make_tasks(("depth", "normals"), info)
    weights = dict.fromkeys(tasks, 1.0)
    with pytest.raises(SpecError, match=r"supervise: objective 'multi_scale' makes labels of normals"):
        Aware3D(tasks, weights, (4,), base="multi_scale", supervise="downsample")
    only = {"normals": tasks["normals"]}
    assert Aware3D.beside(only) == ("depth",)  # which "multi_scale" makes them of
    assert Aware3D(tasks, weights, (4,), base="multi_scale", **SMALL).base.tasks == tasks
