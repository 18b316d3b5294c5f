"""Rendered fields: every form against the plain one, identities in float64, options, what is not kept or created."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtlrepro.data.frustum import grid_points
from mtlrepro.errors import SpecError
from mtlrepro.models import fields
from mtlrepro.models.compositing import midpoints, refined, steps, stratified
from mtlrepro.models.volume import Volume, reference_render

TASKS = {"semseg": 5, "depth": 1, "normals": 3}
GRIDS = [(5, 6), (10, 12), (3, 4)]


def double(**options):
    torch.manual_seed(0)
    return Volume(TASKS, **{"channels": 4, "hidden": 6, "samples": 7, **options}).double()


def draw(batch=2, size=(5, 6), channels=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, channels, *size, dtype=torch.float64, generator=generator).requires_grad_()


def gradients(maps, planes, volume):
    """Of the planes and of all parameters; each value weighed differently."""
    total = sum((m * torch.arange(m.numel(), dtype=m.dtype).cos().view_as(m)).sum() for m in maps.values())
    return torch.autograd.grad(total, [planes, *volume.parameters()], allow_unused=True, retain_graph=True)


def assert_same(found, expected, planes, volume):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(gradients(found, planes, volume), gradients(expected, planes, volume), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def drawn_depths(volume, planes, size):
    """The samples that `volume` draws in training mode after the same seed, (B, h, w, N)."""
    torch.manual_seed(3)
    count = size[0] * size[1] if volume.jitter == "per_ray" else 1
    depths = stratified((len(planes), count, volume.samples), torch.float64).expand(-1, size[0] * size[1], -1)
    torch.manual_seed(3)
    return depths.reshape(len(planes), *size, -1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", GRIDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"density": "per_task"},
        {"jitter": "per_image"},
        {"aggregate": "mean"},
        {"last": "opaque", "slope": 0.01},
        {"density_bias": 0.5, "samples": 1},
    ],
    ids=str,
)
def test_same_as_the_plain_form(options, size, training):
    volume, planes = double(**options).train(training), draw()
    depths = midpoints(volume.samples, torch.float64).expand(2, *size, -1)
    if training:
        depths = drawn_depths(volume, planes, size)
    found = volume(planes, size)
    expected, _ = reference_render(volume, planes, grid_points(depths), 2 / volume.samples)
    assert_same(found, expected, planes, volume)
    assert_same(volume.seen(planes, grid_points(depths)), expected, planes, volume)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    planes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    samples=st.integers(1, 6),
    held=st.integers(1, 3000),
)
def test_parts_do_not_matter(batch, planes, size, samples, held):
    volume, planes = double(samples=samples).eval(), draw(batch, planes)
    expected, _ = reference_render(
        volume, planes, grid_points(midpoints(samples, torch.float64).expand(batch, *size, -1)), 2 / samples
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fields.HELD, "cpu", held)
        assert_same(volume(planes, size), expected, planes, volume)
        with torch.no_grad():
            torch.testing.assert_close(volume(planes, size), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("density", ["shared", "per_task"])
def test_any_rays(density):
    """Points that lie anywhere, in and outside the box, and offsets of depth."""
    volume, planes = double(density=density), draw()
    generator = torch.Generator().manual_seed(5)
    points = 1.3 * (2 * torch.rand(2, 3, 4, 9, 3, dtype=torch.float64, generator=generator) - 1)
    offsets = torch.randn(2, 3, 4, 9, dtype=torch.float64, generator=generator)
    expected, _ = reference_render(volume, planes, points, 2 / 9, offsets)
    found = volume.seen(planes, points, offsets)
    assert_same(found, expected, planes, volume)
    raw = volume.seen(planes, points)
    assert torch.equal(raw["semseg"], found["semseg"])
    assert not torch.allclose(raw["depth"], found["depth"])


@pytest.mark.parametrize("jitter", ["per_ray", "per_image"])
def test_jitter(jitter):
    volume, planes = double(jitter=jitter), draw()
    torch.manual_seed(1)
    first = volume(planes, (5, 6))["depth"]
    torch.manual_seed(1)
    assert torch.equal(volume(planes, (5, 6))["depth"], first)
    assert not torch.equal(volume(planes, (5, 6))["depth"], first)
    assert torch.equal(volume.eval()(planes, (5, 6))["depth"], volume(planes, (5, 6))["depth"])
    # Planes that are the same everywhere across the rays: with draws of the image, all rays are alike.
    deep = planes[:, :, :, :1, :1].expand(-1, -1, -1, 5, 6).clone()
    deep[:, 1] = planes[:, 1, :, :, :1]
    deep[:, 2] = planes[:, 2, :, :1]
    maps = volume.train()(deep, (5, 6))["depth"].flatten(1)
    alike = (maps - maps[:, :1]).abs().max() < 1e-12
    assert bool(alike) == (jitter == "per_image")


@pytest.mark.parametrize("density", ["shared", "per_task"])
@pytest.mark.parametrize("last", ["finite", "opaque"])
def test_points_outside_contribute_nothing(last, density):
    volume, planes = double(last=last, density=density), draw()
    points = grid_points(midpoints(6, torch.float64).expand(2, 5, 6, 6)).clone()
    kept = points.clone()
    away = torch.tensor([[1.5, 0, 0], [float("nan")] * 3, [0, -float("inf"), 0]], dtype=torch.float64)
    # Samples outside, not finite ones among them, behind, before and between those inside.
    longer = torch.cat(
        (away.expand(2, 5, 6, 3, 3), points[..., :3, :], away.expand(2, 5, 6, 3, 3), points[..., 3:, :]), -2
    )
    offsets = torch.full(longer.shape[:-1], float("nan"), dtype=torch.float64)
    offsets[..., 3:6] = offsets[..., 9:] = 0.5
    found = volume.seen(planes, longer, offsets)
    expected, _ = reference_render(volume, planes, kept, 2 / 12, torch.full(kept.shape[:-1], 0.5, dtype=torch.float64))
    assert_same(found, expected, planes, volume)
    # Rays that end outside: nothing is there that could be opaque.
    ending = volume.seen(planes, torch.cat((points[..., :3, :], away.expand(2, 5, 6, 3, 3)), -2))
    volume.last = "finite"
    assert_same(ending, reference_render(volume, planes, points[..., :3, :], 2 / 6)[0], planes, volume)
    volume.last = last
    nothing = volume.seen(planes, away.expand(2, 5, 6, 3, 3))
    assert all((m == 0).all() for m in nothing.values())
    for gradient in gradients(nothing, planes, volume):
        assert not gradient.any()


@pytest.mark.parametrize("outside", [(), (0,), (5,), (2, 5), tuple(range(6))])
def test_a_ray_is_as_opaque_as_what_it_ends_in(outside):
    """The weights of a ray sum to 1 if it ends in the box, else to what its densities take."""
    volume, planes = double(last="opaque", samples=6), draw()
    points = grid_points(midpoints(6, torch.float64).expand(2, 5, 6, 6)).clone()
    points[..., list(outside), 0] = 1.5
    _, weights = reference_render(volume, planes, points, 2 / 6)
    for field in volume.fields.values():
        nn.init.zeros_(field.last.weight)
        nn.init.ones_(field.last.bias)
    for task, found in volume.seen(planes, points).items():
        total = weights[task].sum(dim=-1)[:, None].expand_as(found)
        torch.testing.assert_close(found, total, rtol=0, atol=1e-12)
        assert (weights[task][..., list(outside)] == 0).all()
        if 5 in outside:
            assert total.max() < 0.99
        else:
            torch.testing.assert_close(total, torch.ones_like(total))


def test_constant_field():
    """Where the fields are constant, maps are the constant times what the ray composites, known in closed form."""
    volume, planes = double(samples=5), draw()
    for field in (volume.density, *volume.fields.values()):
        nn.init.zeros_(field.last.weight)
    maps = volume(planes, (5, 6))
    share = 1 - torch.exp(-2 * nn.functional.softplus(volume.density.last.bias - 1))
    for task, found in maps.items():
        expected = (volume.fields[task].last.bias * share).view(1, -1, 1, 1).expand_as(found)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [-3.0, 0.0, 2.0])
def test_density_bias(bias):
    """It is added to the raw densities, as if it were a part of the last layer's bias."""
    torch.manual_seed(0)
    volume, planes = Volume({"depth": 1}, channels=4, samples=5, density_bias=bias).double().eval(), draw()
    found = volume(planes, (5, 6))
    with torch.no_grad():
        volume.density.last.bias += bias + 1
    volume.density_bias = -1.0
    torch.testing.assert_close(volume(planes, (5, 6)), found)


@pytest.mark.parametrize("at", [0, 2, 5])
def test_opaque_plane_at_a_known_depth(at):
    """Planes whose density is a wall in one cell of z, and whose depth field is z: the wall's depth is what is seen."""
    volume = Volume({"depth": 1}, channels=2, hidden=2, samples=6, slope=1.0).double().eval()
    with torch.no_grad():
        for field, row in ((volume.density, 0), (volume.fields["depth"], 1)):
            field.first.weight.copy_(torch.eye(2))
            field.first.bias.zero_()
            field.last.weight.copy_(torch.eye(2)[row : row + 1])
            field.last.bias.zero_()
    planes, depths = torch.zeros(1, 3, 2, 6, 6, dtype=torch.float64), midpoints(6, torch.float64)
    planes[0, 1, 0] = -1e3
    planes[0, 1, 0, at] = 1e6  # rows of xz are z
    planes[0, 2, 1] = depths  # columns of yz are z
    found = volume(planes, (6, 6))["depth"]
    torch.testing.assert_close(found, depths[at].expand_as(found), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("density", ["shared", "per_task"])
def test_two_passes(monkeypatch, density, training):
    """The second pass adds as many samples, and the result is the plain form's at all of them."""
    volume, planes = double(two_pass=True, density=density, last="opaque").train(training), draw()
    passes = []

    def watched(*given):
        passes.append((*given, refined(*given)))
        return passes[-1][-1]

    monkeypatch.setattr("mtlrepro.models.volume.refined", watched)
    found = volume(planes, (5, 6))
    ((coarse, weights, draws, depths),) = passes
    _, expected = reference_render(volume, planes, grid_points(coarse.reshape(2, 5, 6, 7)), 2 / 7)
    mean = sum(expected.values()) / len(expected)
    torch.testing.assert_close(weights, mean.flatten(1, 2))
    even = torch.linspace(0, 1, 7, dtype=torch.float64).expand(2, 30, 7)
    assert torch.equal(draws, even) != training
    assert draws.flatten().unique().numel() == (draws.numel() if training else 7)
    assert not depths.requires_grad
    assert depths.abs().max() <= 1
    depths = depths.view(2, 5, 6, 14)
    expected, _ = reference_render(volume, planes, grid_points(depths), steps(depths))
    assert_same(found, expected, planes, volume)


def test_only_some_tasks():
    volume, planes = double(), draw()
    found, everything = volume.eval()(planes, (5, 6), only=["depth"]), volume(planes, (5, 6))
    assert list(found) == ["depth"]
    assert torch.equal(found["depth"], everything["depth"])
    points = grid_points(midpoints(3, torch.float64).expand(2, 5, 6, 3))
    assert list(volume.seen(planes, points, only=["normals", "semseg"])) == ["semseg", "normals"]
    with pytest.raises(SpecError, match="Did you mean 'depth'"):
        volume(planes, (5, 6), only=["deth"])


@pytest.mark.parametrize("task", TASKS)
def test_one_task_creates_its_own_field_alone(task):
    names = {
        name.split(".")[0] + "." + name.split(".")[1] for name, _ in Volume({task: TASKS[task]}).named_parameters()
    }
    assert names == {f"fields.{task}", "density.first", "density.last"}
    names = {name for name, _ in Volume({task: TASKS[task]}, density="per_task").named_parameters()}
    assert names == {f"fields.{task}.{layer}.{kind}" for layer in ("first", "last") for kind in ("weight", "bias")}
    assert Volume({task: 3}, density="per_task").fields[task].last.out_features == 4


def kept_for_the_gradient(render):
    """Elements of all storages that are kept from the forward pass."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.update({t.untyped_storage().data_ptr(): t}) or t, lambda t: t
    ):
        render()
    return sum(t.untyped_storage().nbytes() // t.element_size() for t in kept.values())


def test_no_hidden_values_are_kept(monkeypatch):
    """They are 64 a sample and field; what is kept does not grow by that with the samples."""
    monkeypatch.setitem(fields.HELD, "cpu", 2**14)
    size, planes = (12, 16), torch.randn(1, 3, 64, 12, 16, requires_grad=True)
    kept = {}
    for samples in (8, 40):
        volume = Volume(TASKS, samples=samples)
        points = grid_points(midpoints(samples).expand(1, *size, samples))
        forms = {
            "lean": partial(volume, planes, size),
            "along": partial(volume.seen, planes, points),
            "plain": partial(reference_render, volume, planes, points, 2 / samples),
        }
        kept[samples] = {name: kept_for_the_gradient(render) for name, render in forms.items()}
    grown = {name: (kept[40][name] - kept[8][name]) / (12 * 16 * 32) for name in kept[8]}
    assert grown["plain"] > 64 * (1 + len(TASKS))
    assert max(grown["lean"], grown["along"]) < 16


def test_precision_under_autocast():
    volume, planes = Volume(TASKS, samples=5).eval(), draw(channels=64).detach()
    leaf = planes.float().requires_grad_()
    expected = volume(leaf, (5, 6))
    points = grid_points(midpoints(5).expand(2, 5, 6, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, along = volume(leaf, (5, 6)), volume.seen(planes.float(), points)
        rough = volume(planes.bfloat16(), (5, 6))
    mine, theirs = ([g for g in gradients(maps, leaf, volume) if g is not None] for maps in (found, expected))
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    for task in TASKS:
        assert torch.equal(found[task], expected[task])
        torch.testing.assert_close(along[task], expected[task])
        assert rough[task].dtype == torch.float32


def test_initialised_as_linear_layers_are():
    torch.manual_seed(4)
    volume = Volume({"depth": 1})
    torch.manual_seed(4)
    layers = [nn.Linear(64, 64), nn.Linear(64, 1), nn.Linear(64, 64), nn.Linear(64, 1)]
    expected = [p for layer in layers for p in layer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(volume.parameters(), expected, strict=True))


def test_half_of_the_ray_ends_at_the_start():
    """Densities start near softplus(-1) over a length of 2: the weights sum to about 0.47."""
    torch.manual_seed(0)
    volume, planes = Volume({"depth": 1}).eval(), torch.randn(1, 3, 64, 7, 9).relu()
    points = grid_points(midpoints(64).expand(1, 7, 9, 64))
    total = reference_render(volume, planes, points, 2 / 64)[1]["depth"].sum(dim=-1)
    assert 0.3 < total.min() <= total.max() < 0.65


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_bits(device, monkeypatch):
    monkeypatch.setitem(fields.HELD, device, 2**16)
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        volume = Volume(TASKS, samples=16, two_pass=True).to(device)
        planes = draw(2, (8, 9), 64).detach().float().to(device).requires_grad_()
        points = grid_points(midpoints(16, device=device).expand(2, 8, 9, 16)) * 1.1
        runs = []
        for _ in range(2):
            torch.manual_seed(0)
            maps = {**volume(planes, (8, 9)), "along": volume.seen(planes, points, only=["depth"])["depth"]}
            total = sum(m.square().sum() for m in maps.values())
            runs.append([*maps.values(), *torch.autograd.grad(total, [planes, *volume.parameters()])])
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


def test_meta_device():
    """Costs are counted there."""
    with torch.device("meta"):
        volume, planes = Volume(TASKS, samples=8, two_pass=True), torch.empty(2, 3, 64, 5, 6, requires_grad=True)
        maps = volume(planes, (5, 6))
        sum(m.sum() for m in maps.values()).backward()
        along = volume.seen(planes, torch.empty(2, 5, 6, 8, 3), torch.empty(2, 5, 6, 8))
    for found in (maps, along):
        assert {task: tuple(m.shape) for task, m in found.items()} == {t: (2, n, 5, 6) for t, n in TASKS.items()}


def test_what_does_not_fit_is_named():
    for key, known in (("density", "per_task"), ("jitter", "per_image"), ("aggregate", "mean"), ("last", "opaque")):
        with pytest.raises(SpecError, match=known) as caught:
            Volume(TASKS, **{key: "none"})
        assert caught.value.field == f"objective.options.{key}"
        for wrong in (None, 1, ["sum"]):
            with pytest.raises(SpecError, match=known):
                Volume(TASKS, **{key: wrong})
    with pytest.raises(SpecError, match="0 samples are too few"):
        Volume(TASKS, samples=0)
    with pytest.raises(SpecError, match="Take 3 or more"):
        Volume(TASKS, samples=2, two_pass=True)
    with pytest.raises(SpecError, match="nothing to render"):
        Volume({})
    volume, planes = double(), draw()
    for points, offsets in (((2, 5, 6, 3), None), ((1, 5, 6, 4, 3), None), ((2, 5, 6, 4, 3), (2, 5, 6))):
        with pytest.raises(SpecError, match="no rays"):
            volume.seen(planes, torch.zeros(points), None if offsets is None else torch.zeros(offsets))
