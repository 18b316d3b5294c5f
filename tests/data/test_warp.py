"""Geometry of warping: vectors, identities, motions, gradients by numbers and by PyTorch's kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch.nn import functional as F

from mtlrepro.data.warp import (
    back_project,
    inverse_motion,
    look_up,
    motion_matrix,
    project,
    rotation_matrix,
    warp,
)

EXACT = {"rtol": 0, "atol": 1e-9}
seeds = st.integers(0, 10**6)
sizes = st.tuples(st.integers(2, 9), st.integers(2, 9))
vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(lambda v: torch.tensor(v, dtype=torch.float64))


def camera(focal=10.0, cx=6.5, cy=4.5, batch=1, dtype=torch.float32):
    return torch.tensor([[focal, 0, cx], [0, focal, cy], [0, 0, 1]], dtype=dtype).expand(batch, 3, 3)


def small_motion(rs, size=0.1):
    return motion_matrix(*(torch.from_numpy(size * rs.randn(2, 3)) for _ in range(2)))


def rest(dtype=torch.float64):
    return torch.eye(4, dtype=dtype).expand(2, 4, 4)


def cross_matrix(v):
    x, y, z = v.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=v.dtype)


def test_vector_of_a_motion_and_its_inverse():
    motion = motion_matrix(torch.tensor([0.01, -0.02, 0.03]), torch.tensor([0.1, 0.2, -0.3]))
    rotation = torch.tensor(
        [
            [0.99935007, -0.03009291, -0.01984529],
            [0.02989293, 0.99950004, -0.01029761],
            [0.02014527, 0.00969767, 0.99975002],
        ]
    )
    torch.testing.assert_close(motion[:3, :3], rotation, rtol=1e-4, atol=1e-8)
    assert motion[:3, 3].tolist() == pytest.approx([0.1, 0.2, -0.3])
    back = inverse_motion(motion)
    torch.testing.assert_close(back[:3, :3], rotation.T, rtol=1e-4, atol=1e-8)
    assert back[:3, 3].tolist() == pytest.approx([-0.09987001, -0.19398142, 0.30396909], rel=1e-6)
    assert motion[3].tolist() == back[3].tolist() == [0, 0, 0, 1]


@given(vectors, st.sampled_from([1.0, 1e-3, 1e-8]))
@settings(deadline=None, max_examples=60)
def test_a_rotation_is_the_exponential_of_its_cross_product(vector, scale):
    got = rotation_matrix(vector * scale)
    torch.testing.assert_close(got, torch.linalg.matrix_exp(cross_matrix(vector * scale)), rtol=0, atol=1e-13)
    assert float(torch.linalg.det(got)) == pytest.approx(1)


@given(vectors, vectors)
@settings(deadline=None, max_examples=30)
def test_there_and_back_is_nowhere(vector, translation):
    motion = motion_matrix(vector, translation)
    for product in (motion @ inverse_motion(motion), inverse_motion(motion) @ motion):
        torch.testing.assert_close(product, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [1.0, 1e-3, 0.0])
def test_gradient_of_a_rotation_at_and_near_rest(size):
    vector = (torch.tensor([[0.4, -0.7, 0.2]], dtype=torch.float64) * size).requires_grad_()
    torch.autograd.gradcheck(rotation_matrix, vector)


def test_a_batch_is_its_motions_one_by_one():
    vectors, translations = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).unbind(0)
    want = torch.stack([motion_matrix(v, t) for v, t in zip(vectors, translations, strict=True)])
    torch.testing.assert_close(motion_matrix(vectors, translations), want)


def test_vector_of_a_projection():
    """In units where the centres of the first and the last pixel are at -1 and 1."""
    depth = torch.from_numpy(1 + 9 * RandomState(903).rand(1, 1, 8, 12)).float()
    motion = motion_matrix(torch.tensor([[0.01, -0.02, 0.03]]), torch.tensor([[0.1, 0.2, -0.3]]))
    positions = project(back_project(depth, camera()), camera(), motion)
    grid = (2 * positions - 1) / torch.tensor([11.0, 7.0]) - 1
    assert grid[0, 2, 3].tolist() == pytest.approx([-0.4829330, -0.4421824], rel=1e-5)
    assert grid.sum().item() == pytest.approx(10.8074, rel=1e-5)


@given(seeds, sizes)
@settings(deadline=None, max_examples=25)
def test_without_motion_every_pixel_is_where_it_was(seed, size):
    rs = RandomState(seed)
    depth, image = (torch.from_numpy(rs.rand(2, c, *size)) for c in (1, 3))
    k = camera(*(1 + 9 * rs.rand(3)), batch=2, dtype=torch.float64)
    positions = project(back_project(depth + 0.1, k), k, rest())
    v, u = torch.meshgrid(*(torch.arange(n) + 0.5 for n in size), indexing="ij")
    want = torch.stack([u, v], -1).double().expand(2, -1, -1, -1)
    torch.testing.assert_close(positions, want, rtol=0, atol=1e-4)  # what keeps the division finite
    torch.testing.assert_close(look_up(image, want), image, **EXACT)
    torch.testing.assert_close(warp(image, back_project(depth + 0.1, k), k, rest()), image, rtol=0, atol=1e-4)


@given(seeds, sizes)
@settings(deadline=None, max_examples=25)
def test_motions_compose(seed, size):
    """Points moved by one motion and seen after another are seen as after both."""
    rs = RandomState(seed)
    points = back_project(1 + torch.from_numpy(rs.rand(2, 1, *size)), camera(batch=2, dtype=torch.float64))
    one, two, k = small_motion(rs), small_motion(rs), camera(8.0, batch=2, dtype=torch.float64)
    moved = (one[:, :3, :3] @ points.flatten(2) + one[:, :3, 3:]).view_as(points)
    torch.testing.assert_close(project(moved, k, two), project(points, k, two @ one), **EXACT)
    torch.testing.assert_close(project(moved, k, inverse_motion(one)), project(points, k, rest()), rtol=1e-9, atol=1e-9)


@given(seeds, sizes)
@settings(deadline=None, max_examples=25)
def test_a_scene_and_a_motion_twice_as_large_look_the_same(seed, size):
    rs = RandomState(seed)
    depth, k = 1 + torch.from_numpy(rs.rand(2, 1, *size)), camera(batch=2, dtype=torch.float64)
    motion = small_motion(rs)
    twice = motion.clone()
    twice[:, :3, 3] *= 2
    one, two = project(back_project(depth, k), k, motion), project(back_project(2 * depth, k), k, twice)
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-5)


@given(seeds)
@settings(deadline=None, max_examples=25)
def test_back_projection_inverts_the_camera_matrix(seed):
    rs = RandomState(seed)
    depth, k = torch.from_numpy(rs.rand(2, 1, 4, 5)), camera(*(1 + 9 * rs.rand(3)), batch=2, dtype=torch.float64)
    v, u = torch.meshgrid(torch.arange(4) + 0.5, torch.arange(5) + 0.5, indexing="ij")
    rays = torch.linalg.inv(k) @ torch.stack([u, v, torch.ones_like(u)]).double().flatten(1)
    torch.testing.assert_close(back_project(depth, k), depth * rays.view(2, 3, 4, 5), **EXACT)


@given(seeds, sizes, sizes)
@settings(deadline=None, max_examples=60)
def test_look_up_is_grid_sample_and_so_is_its_gradient(seed, size, asked):
    rs = RandomState(seed)
    image, weights = (torch.from_numpy(rs.randn(2, 3, *n)) for n in (size, asked))
    span = torch.tensor([size[1], size[0]], dtype=torch.float64)
    positions = torch.from_numpy(rs.uniform(-0.3, 1.3, (2, *asked, 2))) * span
    positions[0, 0, 0] = 0.5  # a corner exactly
    positions[1, 0, 0] = torch.tensor([1.5, 0.5])  # the centre of a pixel
    positions = positions.requires_grad_()
    got = look_up(image, positions)
    grid = (2 * positions - 1) / (span - 1) - 1
    want = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
    torch.testing.assert_close(got, want, **EXACT)
    mine, theirs = (torch.autograd.grad((maps * weights).sum(), positions)[0] for maps in (got, want))
    torch.testing.assert_close(mine, theirs, **EXACT)


def test_gradients_are_those_of_finite_differences():
    rs = RandomState(0)
    image = torch.from_numpy(rs.rand(2, 3, 5, 7))
    depth = (1 + torch.from_numpy(rs.rand(2, 1, 5, 7))).requires_grad_()
    turn = torch.from_numpy(0.05 * rs.randn(2, 3)).requires_grad_()
    shift = torch.from_numpy(0.1 * rs.randn(2, 3)).requires_grad_()
    k = camera(6.0, 3.4, 2.7, batch=2, dtype=torch.float64)

    def warped(depth, turn, shift):
        return warp(image, back_project(depth, k), k, motion_matrix(turn, shift))

    torch.autograd.gradcheck(warped, (depth, turn, shift), eps=1e-7, atol=1e-5)


def test_the_picture_gets_no_gradient_and_outside_is_the_border():
    image = torch.rand(1, 3, 4, 6, requires_grad=True)
    positions = torch.tensor([[[[-5.0, 2.5], [99.0, 99.0]]]], requires_grad=True)
    got = look_up(image, positions)
    assert torch.equal(got[0, :, 0, 0], image[0, :, 2, 0])
    assert torch.equal(got[0, :, 0, 1], image[0, :, -1, -1])
    got.sum().backward()
    assert image.grad is None
    assert positions.grad[0, 0, :, 0].tolist() == [0, 0]


def test_positions_that_are_no_numbers_do_not_crash():
    positions = torch.tensor([[[[float("nan"), 1.0], [float("inf"), 1.0], [1.0, -float("inf")]]]], requires_grad=True)
    look_up(torch.rand(1, 3, 4, 6), positions).sum().backward()
    assert positions.grad.shape == positions.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_pictures_one_pixel_high_or_wide(size):
    image, positions = torch.rand(2, 3, *size), torch.full((2, 3, 3, 2), 0.5, requires_grad=True)
    got = look_up(image, positions)
    torch.testing.assert_close(got, image[..., :1, :1].expand(-1, -1, 3, 3))
    got.sum().backward()
    assert torch.isfinite(positions.grad).all()


def test_points_behind_the_camera_stay_finite():
    points = -back_project(torch.ones(1, 1, 4, 6), camera())
    assert torch.isfinite(project(points, camera(), rest(torch.float32)[:1])).all()


@pytest.mark.gpu
def test_training_by_warping_is_deterministic_on_a_gpu():
    torch.use_deterministic_algorithms(True)
    try:
        generator = torch.Generator().manual_seed(0)
        image, depth = (torch.rand(2, c, 96, 128, generator=generator).cuda() for c in (3, 1))
        found = []
        for _ in range(2):
            free = (1 + depth).requires_grad_()
            turn = torch.full((2, 3), 0.01, device="cuda", requires_grad=True)
            k = camera(100.0, 60.0, 40.0, batch=2).cuda()
            warped = warp(image, back_project(free, k), k, motion_matrix(turn, 10 * turn))
            (warped - image).square().mean().backward()
            found.append((free.grad, turn.grad))
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    finally:
        torch.use_deterministic_algorithms(False)
