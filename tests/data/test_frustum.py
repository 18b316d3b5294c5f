"""The straightened frustum: vectors of the 3D-aware regularizer's second view, inverses, rays, what lies outside."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.data.frustum import Frustum, grid_points
from mtlrepro.data.warp import back_project, inverse_motion, motion_matrix, project
from mtlrepro.models.compositing import midpoints
from mtlrepro.models.triplane import inside

EXACT = {"rtol": 0, "atol": 1e-9}
SIZE = (448, 576)
KINECT = torch.tensor([[518.857901, 0, 293.0824], [0, 519.469611, 219.2362], [0, 0, 1]], dtype=torch.float64)
ANGLE = math.radians(5)
BACK = torch.tensor(
    [
        [math.cos(ANGLE), 0, math.sin(ANGLE), 0.1],
        [0, 1, 0, 0],
        [-math.sin(ANGLE), 0, math.cos(ANGLE), 0.05],
        [0, 0, 0, 1],
    ],
    dtype=torch.float64,
)
"""Coordinates of the moved camera to those before."""

seeds = st.integers(0, 10**6)


def frustum(batch=1, near=0.5, far=10.0):
    return Frustum(KINECT.expand(batch, 3, 3), SIZE, near, far)


def pixel(u, v, d):
    """The box point of a pixel at a depth."""
    return torch.tensor([2 * u / SIZE[1] - 1, 2 * v / SIZE[0] - 1, 2 * (d - 0.5) / 9.5 - 1], dtype=torch.float64)


VECTORS = [
    ((288, 224, 2.0), (0.254795, 0.018341, 2.044097), (0.242214, -0.000459, -0.674927)),
    ((100, 50, 3.5), (-0.892452, -1.140253, 3.650198), (-0.422831, -0.745698, -0.336800)),
    ((500, 400, 1.0), (0.584433, 0.347978, 1.011437), (1.058649, None, None)),
    ((288, 224, 9.0), (0.796579, 0.082535, 9.023436), (0.176690, -0.000055, 0.794408)),
    ((575.5, 10, 4.0), None, (1.244110, None, None)),
]


@pytest.mark.parametrize(("seen", "point", "box"), VECTORS)
def test_vectors_of_a_moved_camera(seen, point, box):
    one = pixel(*seen)[None, None]
    there = frustum().seen_from(one, inverse_motion(BACK)[None])[0, 0]
    for got, want in zip(there.tolist(), box, strict=True):
        assert want is None or got == pytest.approx(want, abs=1e-6)
    assert bool(inside(there)) == (None not in box)
    if point is not None:
        before = frustum().camera_points(there[None])[0]
        assert before.tolist() == pytest.approx(point, abs=1e-6)
        direct = BACK[:3, :3] @ frustum().camera_points(one)[0, 0] + BACK[:3, 3]
        torch.testing.assert_close(before, direct, **EXACT)
    forth = frustum().seen_from(there[None, None], BACK[None])[0, 0]
    torch.testing.assert_close(forth, pixel(*seen), **EXACT)


def any_points(rs, *shape):
    return torch.from_numpy(rs.uniform(-1, 1, (*shape, 3)))


def any_motion(rs, batch, size=0.1):
    return motion_matrix(*(torch.from_numpy(size * rs.randn(batch, 3)) for _ in range(2)))


@given(seeds)
def test_camera_and_box_are_inverses_of_each_other(seed):
    box = any_points(RandomState(seed), 2, 3, 4)
    there = frustum(2)
    torch.testing.assert_close(there.box_points(there.camera_points(box)), box, **EXACT)


@given(seeds)
def test_a_motion_and_its_inverse_cancel(seed):
    rs = RandomState(seed)
    box, motion = any_points(rs, 2, 5), any_motion(rs, 2, 0.03)
    there = frustum(2)
    moved = there.seen_from(box, motion)
    seen = moved[..., 2] > -1
    torch.testing.assert_close(there.seen_from(moved, inverse_motion(motion))[seen], box[seen], **EXACT)


@given(seeds)
def test_a_camera_that_stands_still_sees_the_same(seed):
    box = any_points(RandomState(seed), 1, 4, 5)
    still = torch.eye(4, dtype=torch.float64)[None]
    torch.testing.assert_close(frustum().seen_from(box, still), box, **EXACT)
    torch.testing.assert_close(frustum().seen_from(box.float(), still.float()), box.float(), rtol=0, atol=1e-5)


@given(seeds)
def test_pixels_go_where_warping_takes_them(seed):
    """The same geometry as self-supervised depth has, which divides by depth plus a tenth of a micrometre."""
    rs = RandomState(seed)
    depth = torch.from_numpy(rs.uniform(2, 9, (2, 6, 8)))
    motion = any_motion(rs, 2, 0.05)
    k = torch.tensor([[10.0, 0, 3.5], [0, 11.0, 3.2], [0, 0, 1]], dtype=torch.float64).expand(2, 3, 3)
    there = Frustum(k, (6, 8), 0.5, 10.0)
    box = there.seen_from(grid_points(there.z_of(depth)), inverse_motion(motion))
    where = project(back_project(depth[:, None], k), k, motion)
    got = torch.stack([(box[..., 0] + 1) * 4, (box[..., 1] + 1) * 3], -1)
    torch.testing.assert_close(got, where, rtol=0, atol=1e-4)


def test_a_grid_has_the_centres_of_its_cells():
    box = grid_points(midpoints(4, torch.float64).expand(2, 5, 6, 4))
    assert box.shape == (2, 5, 6, 4, 3)
    assert box[1, 2, 3, 0].tolist() == pytest.approx([7 / 6 - 1, 0, -0.75])
    assert box[0, 4, 0, 3].tolist() == pytest.approx([1 / 6 - 1, 0.8, 0.75])


def test_what_is_not_in_front_is_outside_and_finite():
    points = torch.tensor([[0.1, 0.2, 0.0], [0.1, 0.2, -3.0], [0.0, 0.0, 0.4], [0.0, 0.0, 10.1]], dtype=torch.float64)
    box = frustum().box_points(points[None])
    assert torch.isfinite(box).all()
    assert not inside(box).any()
    assert inside(frustum().box_points(torch.tensor([[[0.0, 0.0, 2.0]]]))).all()


@pytest.mark.parametrize(("near", "far"), [(0.5, 10.0), (1.0, 4.0)])
def test_faces_of_the_box(near, far):
    there = frustum(near=near, far=far)
    d = torch.tensor([near, (near + far) / 2, far], dtype=torch.float64)
    assert there.z_of(d).tolist() == pytest.approx([-1, 0, 1])
    torch.testing.assert_close(there.depth_of(there.z_of(d)), d, **EXACT)
