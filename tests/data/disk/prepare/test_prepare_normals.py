"""Normals from plane fits: against planes, spheres and creases whose normals are known, and the embedded rooms."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mtlrepro.data.disk.prepare.normals import kinect, plane_normals
from mtlrepro.data.scenes import rooms
from mtlrepro.data.scenes.sample import render

SIZE = (48, 64)


def rays(k, size):
    v, u = np.indices(size) + 0.5
    return np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(size)], -1)


def degrees(found, expected):
    return np.degrees(np.arccos((found.astype(np.float64) * expected).sum(-1).clip(-1, 1)))


def unit(vector):
    return np.asarray(vector, np.float64) / np.linalg.norm(vector)


def plane(normal, distance, k, size=SIZE):
    """Depth of the plane normal . X = -distance."""
    return -distance / (rays(k, size) @ normal)


def test_intrinsics_are_the_toolbox_ones_with_centres_at_one_half():
    k = kinect((480, 640))
    assert k[0, 2] == pytest.approx(325.582449 - 1 + 0.5)
    assert k[1, 2] == pytest.approx(253.736166 - 1 + 0.5)
    np.testing.assert_allclose(kinect((240, 320))[:2], k[:2] / 2)


@settings(deadline=None, max_examples=40)
@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(0.3, 8.0))
def test_plane_is_exact_up_to_the_borders(x, y, distance):
    normal, k = unit([x, y, -1.0]), kinect(SIZE)
    assume((rays(k, SIZE) @ normal).max() < -0.1)
    found = plane_normals(plane(normal, distance, k), k)
    # Exact depth: what is left is float32 in the result (6e-8 a component, which arccos near 1 turns into 0.03).
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=2e-6)


def test_float32_depth_costs_little():
    normal, k = unit([0.7, -0.4, -1.0]), kinect((96, 128))
    found = plane_normals(plane(normal, 2.0, k, (96, 128)).astype(np.float32), k)
    assert degrees(found, normal).max() < 0.05


def test_sphere():
    size, centre, radius = (120, 160), np.array([0.1, -0.05, 2.0]), 0.5
    k = kinect(size)
    r = rays(k, size)
    along, square = r @ centre, (r * r).sum(-1)
    root = along**2 - square * (centre @ centre - radius**2)
    seen = root > 0
    depth = np.where(seen, (along - np.sqrt(np.maximum(root, 0))) / square, 0)
    expected = (r * depth[..., None] - centre) / radius
    found = plane_normals(depth, k)
    assert not found[~seen].any()
    facing = seen & (-(expected * r).sum(-1) / np.sqrt(square) > 0.5)
    error = degrees(found, expected)
    assert np.median(error[facing]) < 1  # of a surface that turns 2 degrees a pixel
    assert error[facing].max() < 16
    away = facing & (found != 0).any(-1)
    assert ((found * r).sum(-1)[away] < 0).all()


def test_crease_stays_sharp():
    k = kinect(SIZE)
    left, right = unit([0.6, 0.0, -1.0]), unit([-0.6, 0.0, -1.0])
    depths = [plane(n, 2.0 * -n[2], k) for n in (left, right)]  # both meet at the optical axis, 2 m away
    first = depths[0] < depths[1]  # the nearer of the two: an edge that stands out
    found = plane_normals(np.minimum(*depths), k)
    error = degrees(found, np.where(first[..., None], left, right))
    columns = np.abs(np.arange(SIZE[1]) + 0.5 - k[0, 2])
    assert error[:, columns > 2].max() < 0.1
    assert (error > 1).mean() < 0.05


def test_step_does_not_leak():
    k = kinect(SIZE)
    near, far = unit([0.3, 0.2, -1.0]), unit([0.0, 0.0, -1.0])
    left = np.broadcast_to(np.arange(SIZE[1]) < 30, SIZE)
    found = plane_normals(np.where(left, plane(near, 1.0, k), plane(far, 3.0, k)), k)
    assert degrees(found, np.where(left[..., None], near, far)).max() < 0.1


def test_invalid_pixels_have_no_normal_and_bend_no_neighbour():
    normal, k = unit([0.2, -0.3, -1.0]), kinect(SIZE)
    holes = np.random.default_rng(0).random(SIZE) < 0.3
    found = plane_normals(np.where(holes, 0, plane(normal, 2.0, k)), k)
    assert not found[holes].any()
    np.testing.assert_allclose(found[~holes], np.broadcast_to(normal, found[~holes].shape), atol=2e-6)


@pytest.mark.parametrize("kept", [[], [(5, 5)], [(5, x) for x in range(60)]], ids=["none", "one", "a line"])
def test_too_few_pixels_give_no_normal(kept):
    depth = np.zeros(SIZE)
    for place in kept:
        depth[place] = 2.0
    assert not plane_normals(depth, kinect(SIZE)).any()


def test_room():
    """Exact normals of the renderer; then with a Kinect's disparities in place of depth, in steps of 1/8 pixel."""
    room = render(rooms.layout(0, 0), 480, 640)
    depth, k = room["depth_dense"].numpy().astype(np.float64), room["intrinsics"].numpy()
    expected = room["normals"].permute(1, 2, 0).numpy()
    found = plane_normals(depth, k)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-6)
    error = degrees(found, expected)
    assert np.median(error) < 0.02
    assert error.mean() < 5
    base = 519 * 0.075 * 8
    disparity = np.round(base / depth + np.random.default_rng(0).normal(0, 0.3, depth.shape))
    noisy = degrees(plane_normals(base / disparity, k), expected)
    assert np.median(noisy) < 1.5
    assert noisy.mean() < 6


def test_same_bits_again():
    depth = np.random.default_rng(0).uniform(1, 1.02, SIZE)
    assert plane_normals(depth, kinect(SIZE)).tobytes() == plane_normals(depth.copy(), kinect(SIZE)).tobytes()
