"""The photometric loss: vectors, brute-force SSIM and smoothness, masking, and a world whose geometry is known."""

import numpy as np
import plane_world
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch.nn import functional as F

from mtlrepro.data.warp import back_project, inverse_motion, look_up, motion_matrix, project, warp
from mtlrepro.objectives.photometric import (
    least_error,
    photometric_error,
    smoothness,
    still_errors,
    structural_error,
    window_means,
    without_ties,
)

seeds = st.integers(0, 10**6)
sizes = st.tuples(st.integers(2, 9), st.integers(2, 9))


def t32(a):
    return torch.from_numpy(a).float()


A, B, C = (t32(RandomState(seed).rand(1, 3, 8, 12)) for seed in (900, 901, 904))
SIGMA = t32(RandomState(902).rand(1, 1, 8, 12))


def vector_errors():
    """Errors of the frames before and after, warped by the depth of `SIGMA`, and the warped frames."""
    k = torch.tensor([[[10.0, 0, 6.5], [0, 10, 4.5], [0, 0, 1]]])  # principal point (6, 4) from a pixel's centre
    motion = motion_matrix(torch.tensor([[0.01, -0.02, 0.03]]), torch.tensor([[0.1, 0.2, -0.3]]))
    points = back_project(1 / (0.01 + 9.99 * SIGMA), k)
    frames = [warp(B, points, k, inverse_motion(motion)), warp(C, points, k, motion)]
    return torch.cat([photometric_error(frame, A) for frame in frames], 1), frames


def test_vectors_of_the_terms():
    assert structural_error(A, B).mean().item() == pytest.approx(0.5111823, rel=1e-5)
    assert structural_error(A, 0.9 * A + 0.02).mean().item() == pytest.approx(0.0035355, rel=1e-4)
    assert photometric_error(A, B).mean().item() == pytest.approx(0.4856543, rel=1e-5)
    assert smoothness(SIGMA, A).item() == pytest.approx(1.1385959, rel=1e-5)


def test_vector_of_the_whole_loss():
    errors, frames = vector_errors()
    assert [f.sum().item() for f in frames] == pytest.approx([147.6818, 137.6899], rel=1e-5)
    smooth = 1e-3 * smoothness(SIGMA, A)
    unmasked, _ = least_error(errors, torch.full_like(errors, 2.0))
    assert (unmasked + smooth).item() == pytest.approx(0.3968341, rel=1e-5)
    torch.manual_seed(0)
    masked, automask = least_error(errors, without_ties(still_errors(torch.stack([B, C], 1), A)))
    assert (masked + smooth).item() == pytest.approx(0.35338, abs=1e-4)
    assert automask.item() == pytest.approx(0.44792, abs=1e-5)


@given(seeds, sizes)
@settings(deadline=None, max_examples=20)
def test_window_means_are_pooled_reflections_and_so_are_their_gradients(seed, size):
    rs = RandomState(seed)
    image, weights = (torch.from_numpy(rs.randn(2, 3, *size)).requires_grad_() for _ in range(2))
    got, want = window_means(image), F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, 1)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-14)
    mine, theirs = (torch.autograd.grad((means * weights).sum(), image)[0] for means in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-14)


@given(seeds, sizes)
@settings(deadline=None, max_examples=20)
def test_ssim_is_a_loop_over_windows(seed, size):
    rs = RandomState(seed)
    one, two = rs.rand(2, *size)
    two = two if seed % 2 else np.clip(one + 0.1 * two, 0, 1)
    a, b = (np.pad(x, 1, mode="reflect") for x in (one, two))
    want = np.empty(size)
    for i, j in np.ndindex(size):
        x, y = a[i : i + 3, j : j + 3].ravel(), b[i : i + 3, j : j + 3].ravel()
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        alike = (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
        want[i, j] = (1 - alike / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (x.var() + y.var() + 9e-4))) / 2
    got = structural_error(torch.from_numpy(one)[None, None], torch.from_numpy(two)[None, None])
    np.testing.assert_allclose(got[0, 0].numpy(), want.clip(0, 1), rtol=0, atol=1e-12)


@given(seeds, sizes)
@settings(deadline=None, max_examples=20)
def test_errors_are_symmetric_bounded_and_nothing_for_equal_pictures(seed, size):
    one, two = (t32(RandomState(seed + k).rand(2, 3, *size)) for k in (0, 1))
    error = photometric_error(one, two)
    assert error.shape == (2, 1, *size)
    assert error.min() >= 0
    assert error.max() <= 1
    torch.testing.assert_close(photometric_error(two, one), error)
    assert not photometric_error(one, one).any()


@given(seeds, sizes)
@settings(deadline=None, max_examples=20)
def test_smoothness_is_a_loop_and_does_not_see_the_level(seed, size):
    rs = RandomState(seed)
    disparity, image = rs.rand(2, 1, *size) + 0.1, rs.rand(2, 3, *size)
    level = disparity / (disparity.mean((2, 3), keepdims=True) + 1e-7)
    want = 0.0
    for axis in (2, 3):
        edges = np.abs(np.diff(image, axis=axis)).mean(1, keepdims=True)
        want += (np.abs(np.diff(level, axis=axis)) * np.exp(-edges)).mean()
    d, i = torch.from_numpy(disparity), torch.from_numpy(image)
    assert smoothness(d, i).item() == pytest.approx(want, rel=1e-12)
    assert smoothness(7 * d, i).item() == pytest.approx(want, rel=1e-5)
    assert smoothness(torch.ones_like(d), i).item() == 0


def test_gradients_are_those_of_finite_differences():
    rs = RandomState(0)
    one, two = (torch.from_numpy(rs.rand(2, 3, 4, 5)) for _ in range(2))
    disparity = torch.from_numpy(0.1 + rs.rand(2, 1, 4, 5)).requires_grad_()
    still = torch.from_numpy(rs.rand(2, 2, 4, 5))
    torch.autograd.gradcheck(lambda p: photometric_error(p, two), one.requires_grad_())
    torch.autograd.gradcheck(lambda d: smoothness(d, two), disparity)
    warped = torch.from_numpy(rs.rand(2, 2, 4, 5)).requires_grad_()
    torch.autograd.gradcheck(lambda w: least_error(w, still)[0], warped)


def test_the_least_error_counts_and_masked_pixels_have_no_gradient():
    warped = torch.tensor([[[[0.1, 0.5, 0.9]], [[0.4, 0.2, 0.8]]]], requires_grad=True)
    still = torch.tensor([[[[0.3, 0.3, 0.6]], [[0.9, 0.9, 0.7]]]])
    loss, automask = least_error(warped, still)
    assert loss.item() == pytest.approx((0.1 + 0.2 + 0.6) / 3)
    assert automask.item() == pytest.approx(2 / 3)
    loss.backward()
    want = torch.tensor([[[[1 / 3, 0, 0]], [[0, 1 / 3, 0]]]])
    torch.testing.assert_close(warped.grad, want)


def test_noise_breaks_ties_and_is_the_generators():
    errors = still_errors(torch.stack([A, A, B], 1), A)
    assert torch.equal(errors, torch.cat([photometric_error(f, A) for f in (A, A, B)], 1))
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(without_ties(errors))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    noise = (found[0] - errors) / 1e-5
    assert abs(noise.mean()) < 0.2
    assert 0.85 < noise.std() < 1.15
    # Two equal frames, nothing to choose between them and a frame that is warped onto itself.
    _, automask = least_error(torch.zeros(1, 1, 8, 12), found[0][:, :1])
    assert 0.3 < automask.item() < 0.7


# The oracle: a world whose depth, motion and camera are known.


def errors_on_a_plane(wrong_depth=1.0, wrong_turn=0.0, wrong_shift=1.0, wrong_camera=0.0):
    """Photometric errors of the frame after, warped by what is believed, where the truth stays within the picture."""
    k, motion = plane_world.camera(), plane_world.motion()
    image, depth, frames = plane_world.frames()
    taken, believed = (
        k.clone(),
        motion @ motion_matrix(torch.tensor([[0.0, wrong_turn, 0.0]]).double(), torch.zeros(1, 3)),
    )
    taken[:, 0, 2] += wrong_camera
    believed[:, :3, 3] *= wrong_shift
    warped = look_up(frames[:, 1], project(back_project(depth * wrong_depth, taken), taken, believed))
    right = project(back_project(depth, k), k, motion)
    height, width = plane_world.SIZE
    inside = ((right > 2) & (right < torch.tensor([width - 2.0, height - 2.0]))).all(-1)
    return photometric_error(warped, image)[inside[:, None]]


def test_true_depth_motion_and_camera_make_the_other_frame_look_the_same():
    errors = errors_on_a_plane()
    assert len(errors) > 1500
    assert errors.mean() < 5e-4
    assert errors.max() < 3e-3


WRONG = ({"wrong_depth": 1.3}, {"wrong_depth": 0.7}, {"wrong_turn": 0.02}, {"wrong_shift": -1}, {"wrong_camera": 20})


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_depth_motion_or_camera_does_not(wrong):
    assert errors_on_a_plane(**wrong).mean() > 10 * errors_on_a_plane().mean()


def test_the_error_grows_with_that_of_depth():
    means = [float(errors_on_a_plane(wrong_depth=factor).mean()) for factor in (1.0, 1.05, 1.1, 1.2, 1.4, 1.8)]
    assert means == sorted(means)
