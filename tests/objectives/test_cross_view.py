"""Depth from a second camera: identities, a plain recomputation, which pixels count, rooms with known depth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from volume_world import INFO, SIZE, Tiny, a_batch, camera, make, small_motion, straight_points

from mtlrepro.data.frustum import Frustum, grid_points
from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError
from mtlrepro.models.compositing import compositing_weights, midpoints, stratified
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.triplane import inside
from mtlrepro.models.volume import Volume, reference_render
from mtlrepro.objectives import build_objective
from mtlrepro.objectives.cross_view import second_view
from mtlrepro.spec import ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

NEAR, FAR = 0.5, 10.0
GRID = (6, 8)
STILL = torch.eye(4, dtype=torch.float64)


class Fixed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


def maps_of(samples, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    maps = [torch.randn(samples, 5, 6, 8, dtype=dtype), torch.randn(samples, 7, 3, 4, dtype=dtype)]
    return Outputs({"depth": torch.randn(samples, 1, *SIZE, dtype=dtype)}, features=[m.requires_grad_() for m in maps])


def centres(shape, dtype=torch.float64):
    """Samples (E, h, w, N) in the middle of equal intervals, as evaluation has them."""
    return midpoints(shape[-1], dtype).expand(shape)


def depth_of(objective, planes, batch):
    """Depth that the second cameras see, at the rendered size."""
    z = centres((batch.extra, *GRID, objective.volume.samples), planes.dtype)
    view = second_view(batch, z, objective.near, objective.far)
    offsets = view.deeper if objective.cross_view == "corrected" else None
    return objective.volume.seen(planes, view.points, offsets, only=("depth",))["depth"]


# identities


@pytest.mark.parametrize("way", ["raw", "corrected"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_a_camera_that_stands_still_sees_the_rendered_depth(way, dtype, close):
    objective, batch = make(cross_view=way).to(dtype).eval(), a_batch(0, 2, motion=STILL, dtype=dtype)
    outputs = maps_of(2, dtype=dtype)
    with torch.no_grad():
        planes = objective.encode(outputs, GRID)
        want = objective.volume(planes, GRID)["depth"]
        got = depth_of(objective, planes, batch)
    torch.testing.assert_close(got, want, rtol=0, atol=close)


@pytest.mark.parametrize("jitter", ["per_ray", "per_image"])
def test_so_it_does_at_random_places(jitter):
    """In training, with the draws that the first view has had."""
    objective, batch = make(cross_view="raw", jitter=jitter, dropout=0.0).double(), a_batch(0, 2, motion=STILL)
    batch = Batch(batch.image, batch.targets, extra=2, beside={k: v.double() for k, v in batch.beside.items()})
    planes = objective.encode(maps_of(2), GRID).detach()
    torch.manual_seed(4)
    losses = objective.compare("cross", objective.volume(planes, GRID, only=("depth",)), plain(batch))
    torch.manual_seed(4)
    assert objective.cross(planes, GRID, batch).total.item() == pytest.approx(losses.total.item(), rel=1e-9)


def plain(batch):
    """The batch with the second frames' depth as label, where a camera that stands still sees it in the box."""
    depth = batch.beside["frame_depth"]
    return Batch(batch.image, {"depth": torch.where((depth >= NEAR) & (depth <= FAR), depth, 0.0)})


# the loss


def plainly(objective, planes, batch, rows):
    """Loss of the second view, ray by ray and pixel by pixel."""
    k, depth, motion = (batch.beside[key] for key in ("intrinsics", "frame_depth", "motion"))
    (height, width), count = SIZE, objective.volume.samples
    points, deeper = torch.zeros(rows, *GRID, count, 3).double(), torch.zeros(rows, *GRID, count).double()
    target = torch.zeros(rows, 1, height, width).double()

    def moved(e, u, v, d):
        back = torch.linalg.inv(motion[e, 0])
        there = back[:3, :3] @ (d * torch.linalg.inv(k[e]) @ torch.tensor([u, v, 1.0]).double()) + back[:3, 3]
        pixel = k[e] @ there
        x, y = 2 * pixel[0] / pixel[2] / width - 1, 2 * pixel[1] / pixel[2] / height - 1
        return torch.stack([x, y, 2 * (there[2] - NEAR) / (FAR - NEAR) - 1]), there[2]

    for e in range(rows):
        for i, j, n in np.ndindex(*GRID, count):
            d = NEAR + (2 * n + 1) / count * (FAR - NEAR) / 2
            point, there = moved(e, (j + 0.5) * width / GRID[1], (i + 0.5) * height / GRID[0], d)
            points[e, i, j, n], deeper[e, i, j, n] = point, d - there
        for i, j in np.ndindex(height, width):
            d = depth[e, 0, i, j]
            if d > 0 and bool((moved(e, j + 0.5, i + 0.5, d)[0].abs() <= 1).all()):
                target[e, 0, i, j] = d
    offsets = deeper if objective.cross_view == "corrected" else None
    maps = reference_render(objective.volume, planes[-rows:], points, 2 / count, offsets)[0]["depth"]
    maps = nn.functional.interpolate(maps, SIZE, mode="bilinear", align_corners=False)
    return (maps - target).abs()[target > 0].mean(), target


@pytest.mark.parametrize("way", ["raw", "corrected"])
def test_the_loss_is_that_of_equation_3(way):
    """Of the samples of the second stream, the last ones, alone; weighed as the rendered losses are."""
    outputs, batch = maps_of(3), a_batch(1, 2, dtype=torch.float64, names=("depth",))
    objective = make(names=("depth",), cross_view=way).double().eval()
    losses = objective(Fixed(outputs), batch, 0.25)
    planes = objective.encode(outputs, GRID)
    want, target = plainly(objective, planes, batch, 2)
    assert 0 < (target > 0).sum() < (batch.beside["frame_depth"] > 0).sum()
    assert losses.terms["cross/depth"].item() == pytest.approx(want.item(), rel=1e-9)
    without = make(names=("depth",)).double().eval()
    without.load_state_dict(objective.state_dict())
    rest = without(Fixed(outputs), batch, 0.25)
    assert (losses.total - rest.total).item() == pytest.approx(2.0 * 2.0 * want.item(), rel=1e-9)  # λ_depth · α
    gradient = torch.autograd.grad(losses.total - rest.total, outputs.features[1])[0]
    assert gradient[0].abs().max() < 1e-12
    assert all(gradient[row].abs().max() > 1e-6 for row in (1, 2))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 3))
def test_only_pixels_in_the_box_count(seed, shift):
    batch = a_batch(0, 2, seed=seed, motion=small_motion(2, seed, shift=shift), dtype=torch.float64)
    z = centres((2, 2, 2, 4))
    view = second_view(batch, z, NEAR, FAR)
    depth = batch.beside["frame_depth"]
    frustum = Frustum(camera(2), SIZE, NEAR, FAR)
    there = frustum.seen_from(grid_points(frustum.z_of(depth[:, 0])), batch.beside["motion"][:, 0])
    counted = (there.abs() <= 1).all(-1)[:, None] & (depth > 0)
    assert torch.equal(view.target > 0, counted)
    assert torch.equal(view.target[counted], depth[counted])
    assert view.points.shape == (2, 2, 2, 4, 3)
    assert torch.isfinite(view.points).all()


@pytest.mark.parametrize("case", ["no depth", "another room"])
def test_frames_that_show_nothing_of_the_box_cost_nothing(case):
    outputs, objective = maps_of(2, dtype=torch.float32), make(names=("depth",), cross_view="corrected")
    away = STILL.clone()
    away[2, 3] = 50.0  # so far behind that all it sees lies behind the first camera
    batch = a_batch(0, 2, motion=-away if case == "another room" else STILL, names=("depth",))
    batch.targets["depth"].zero_()
    if case == "another room":
        batch.beside["motion"] = away.float().expand(2, 1, 4, 4)
    else:
        batch.beside["frame_depth"].zero_()
    losses = objective(Fixed(outputs), batch, 0.3)
    assert losses.terms["cross/depth"] == 0
    losses.total.backward()
    assert all(not p.grad.any() for p in objective.parameters())
    assert not outputs.features[1].grad.any()


def test_a_second_view_changes_what_the_host_learns():
    net, batch = Tiny(make_tasks(("depth",), INFO)).train(), a_batch(1, 2, names=("depth",))
    gradients = []
    for way in ("", "raw", "corrected"):
        net.zero_grad()
        torch.manual_seed(0)
        make(names=("depth",), cross_view=way)(net, batch, 0.3).total.backward()
        gradients.append(net.coarse.weight.grad.clone())
    assert not torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[1], gradients[2])


def test_labels_can_be_smaller_there_too():
    objective, batch = make(names=("depth",), cross_view="raw", supervise="downsample").double().eval(), None
    batch, outputs = a_batch(1, 2, dtype=torch.float64, names=("depth",)), maps_of(3)
    planes = objective.encode(outputs, GRID)
    _, target = plainly(objective, planes, batch, 2)
    small = nn.functional.interpolate(target, GRID, mode="nearest-exact")
    want = (depth_of(objective, planes[1:], batch) - small).abs()[small > 0].mean()
    got = objective(Fixed(outputs), batch, 0.3).terms["cross/depth"]
    assert got.item() == pytest.approx(want.item(), rel=1e-9)


# bad input


@pytest.mark.parametrize("missing", ["intrinsics", "frame_depth", "motion"])
def test_frames_that_are_missing_are_named(missing):
    batch = a_batch(1, 2)
    del batch.beside[missing]
    with pytest.raises(SpecError, match=rf"data\.extra: .* have no {missing}.*data\.extra") as caught:
        make(cross_view="raw")(Tiny(make(names=("depth",)).tasks), batch, 0.3)
    assert caught.value.mend


def test_a_batch_without_a_second_stream_is_named():
    with pytest.raises(SpecError, match=r"data\.extra: .*no sample has one.*recipe\.extra"):
        make(cross_view="raw")(Tiny(make(names=("depth",)).tasks), a_batch(), 0.3)


def test_a_sample_has_one_second_frame():
    batch = a_batch(1, 2)
    batch.beside["frame_depth"] = batch.beside["frame_depth"].repeat(1, 2, 1, 1)
    with pytest.raises(SpecError, match=r"data\.extra: 2 samples have depth \(2, 2, 24, 32\)"):
        make(cross_view="raw")(Tiny(make(names=("depth",)).tasks), batch, 0.3)


def test_depth_that_cannot_be_compared_is_named():
    with pytest.raises(SpecError, match=r"cross_view: a second view shows depth, and rendered are \('semseg',\)"):
        make(cross_view="raw", render=("semseg",))
    with pytest.raises(SpecError, match=r"cross_view: a second view shows depth"):
        make(cross_view="raw", names=("semseg",))
    with pytest.raises(SpecError, match=r"cross_view: values that loss 'inverse_berhu' learns are no metres"):
        make(cross_view="corrected", losses=(("depth", "inverse_berhu"),))
    assert make(cross_view="raw", losses=(("depth", "inverse_berhu"),)).cross_view == "raw"
    inverse = make_tasks(("depth",), DatasetInfo("city", ("depth",), inverse_depth=True))
    with pytest.raises(SpecError, match=r"cross_view: motions are in metres, and depth of 'city' is inverse depth"):
        build_objective(ObjectiveSpec("aware3d", options=options(cross_view="raw")), inverse, (4,))


# rooms


class Room:
    """Two views of an embedded room: the first one's true depth at any size, the second one's at the rendered size.

    Attributes:
        seen: pixels of the second view whose surface lies in the first one's box and is not hidden from it.
    """

    def __init__(self, number, other, grid, size, far=FAR):
        self.far, room = far, layout(number, 0)
        self.first = render(room, *size)["depth_dense"].double()
        second = render(room, *grid, view=other)
        self.depth, self.k = second["depth_dense"].double(), second["intrinsics"].double()[None]
        self.motion = torch.from_numpy(np.linalg.inv(room.cameras[other]) @ room.cameras[0])
        frustum = Frustum(self.k, grid, NEAR, far)
        there = frustum.seen_from(grid_points(frustum.z_of(self.depth[None])), self.motion[None])[0]
        self.seen = inside(there) & ((self.surface(there) - frustum.depth_of(there[..., 2])).abs() < 0.05)

    def surface(self, points):
        """The first view's true depth where points (..., 3) of its box project to, at the nearest of its pixels."""
        height, width = self.first.shape
        column = ((points[..., 0] + 1) * width / 2).floor().clamp(0, width - 1).long()
        return self.first[((points[..., 1] + 1) * height / 2).floor().clamp(0, height - 1).long(), column]

    def second(self, samples, motion):
        """What is to be rendered after a motion."""
        z = centres((1, *self.depth.shape, samples))
        beside = {"intrinsics": self.k, "frame_depth": self.depth[None, None], "motion": motion[None, None]}
        return second_view(Batch(torch.zeros(1, 3, *self.depth.shape), {}, extra=1, beside=beside), z, NEAR, self.far)

    def errors(self, depth):
        """Metres by which rendered depth is wrong at the pixels that both cameras see."""
        return (depth - self.depth).abs()[self.seen]


SAMPLES = 64
STEP = (FAR - NEAR) / SAMPLES
"""Metres between two samples of a ray."""


def opaque(room, view, corrected):
    """Depth of a room whose density is high in a shell of three steps behind the true surface, else 0."""
    surface = room.surface(view.points)
    behind = NEAR + (view.points[..., 2] + 1) * (FAR - NEAR) / 2 - surface
    solid = inside(view.points) & (behind >= 0) & (behind < 3 * STEP)
    values = surface + view.deeper if corrected else surface
    return (compositing_weights(torch.where(solid, 1e4, 0.0).double(), 2 / SAMPLES) * values).sum(-1)[0]


@pytest.mark.parametrize(("number", "other"), [(0, 1), (1, 3), (3, 2)])
def test_an_opaque_surface_is_seen_from_the_second_camera_where_it_is(number, other):
    """To within the sampling step for 97 of 100 pixels that both see, and to a fifth of it for 90."""
    room = Room(number, other, (56, 72), (224, 288))
    assert room.seen.double().mean() > 0.6
    view = room.second(SAMPLES, room.motion)
    right = room.errors(opaque(room, view, corrected=True))
    assert (right < STEP).double().mean() > 0.97
    assert right.quantile(0.9) < 0.2 * STEP
    literal = room.errors(opaque(room, view, corrected=False))
    assert literal.median() > 10 * right.median()  # raw: what is depth for the first camera
    turned = room.errors(opaque(room, room.second(SAMPLES, torch.linalg.inv(room.motion)), corrected=True))
    still = room.errors(opaque(room, room.second(SAMPLES, STILL), corrected=True))
    for wrong in (turned, still):
        assert wrong.median() > 5 * right.median()
        assert wrong.mean() > 3 * right.mean()


def test_so_is_a_surface_that_fields_were_fitted_to():
    """Planes and fields that learnt the first view's depth show the second's, to half a sampling step on average."""
    samples, grid, far = 32, (28, 36), 6.0
    room = Room(3, 2, grid, grid, far)
    torch.manual_seed(0)
    volume = Volume({"depth": 1}, channels=12, hidden=32, samples=samples)
    planes = nn.Parameter(0.1 * torch.randn(1, 3, 12, *grid))
    optimizer = torch.optim.Adam([planes, *volume.parameters()], 0.03)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps := 150)
    depth = room.first.float()
    for _ in range(steps):
        z = stratified((1, *grid, samples), torch.float32)
        maps, weights = reference_render(volume, planes, grid_points(z), 2 / samples)
        w, there = weights["depth"], NEAR + (z + 1) * (far - NEAR) / 2
        away = (w * (there - depth[..., None]).abs()).sum(-1) + 5 * (1 - w.sum(-1))
        loss = away.mean() + (maps["depth"][:, 0] - depth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    def error(motion, corrected=True):
        view = room.second(samples, motion)
        with torch.no_grad():
            found = volume.seen(planes, view.points, view.deeper if corrected else None)["depth"]
        return room.errors(found[0, 0].double()).mean().item()

    right = error(room.motion)
    assert right < (far - NEAR) / samples / 2
    assert error(STILL) > 4 * right
    assert error(torch.linalg.inv(room.motion)) > 4 * right
    assert error(room.motion, corrected=False) > 4 * right


def test_straight_rays_are_the_midpoints():
    z = centres((2, *GRID, 4))
    torch.testing.assert_close(grid_points(z), straight_points(2, GRID, 4), rtol=0, atol=1e-15)
