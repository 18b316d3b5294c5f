"""Rays: what their samples find is what a lookup of the same points finds."""

import pytest
import torch
from point_lookup import look_up

from mtlrepro.data.frustum import grid_points
from mtlrepro.models.compositing import midpoints, stratified
from mtlrepro.models.rays import aligned, free
from mtlrepro.models.triplane import weighted_rows


def features(rays):
    """(B, R, N, C) of all samples."""
    index, share = rays.corners(slice(None), slice(None))
    found = [
        weighted_rows(rows, i.flatten(0, 1), s.flatten(0, 1))
        for rows, i, s in zip(rays.rows, index, share, strict=True)
    ]
    return torch.stack(found).view(*rays.shape, -1) + rays.base[:, :, None]


def draw():
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 5, 7, dtype=torch.float64)


@pytest.mark.parametrize("size", [(5, 7), (10, 14), (3, 4)])
def test_aligned_and_free_rays_find_the_features_of_their_points(size):
    planes, count = draw(), size[0] * size[1]
    depths = stratified((2, count, 6), torch.float64)
    points = grid_points(depths.view(2, *size, 6))
    expected = look_up(planes, points).view(2, count, 6, 4)
    for rays in (aligned(planes, size, depths), free(planes, points.flatten(1, 2))):
        assert rays.shape == (2, count, 6)
        torch.testing.assert_close(features(rays), expected, rtol=1e-12, atol=1e-12)


def test_a_part_of_the_rays():
    planes = draw()
    rays = aligned(planes, (5, 7), stratified((2, 35, 6), torch.float64))
    whole, part = rays.corners(slice(None), slice(None)), rays.corners(slice(1, 2), slice(10, 20))
    for everything, some in zip(whole, part, strict=True):
        assert torch.equal(everything[1:, 10:20], some)


def test_plane_grid_as_rendered_needs_no_lookup_of_the_front():
    planes = draw()
    rays = aligned(planes, (5, 7), midpoints(3, torch.float64).expand(2, 35, 3))
    assert torch.equal(rays.base.mT.unflatten(2, (5, 7)), planes[:, 0])
    assert rays.corners(slice(None), slice(None))[0].shape == (2, 35, 3, 4)


def test_points_outside_find_something_finite():
    points = torch.tensor([[float("nan")] * 3, [float("inf"), 0, 0], [0, -7, 0]], dtype=torch.float64)
    rays = free(draw(), points.expand(2, 4, 3, 3))
    assert features(rays).isfinite().all()


def test_straight():
    depths = torch.tensor([-0.5, 0.75]).expand(1, 2, 4, 2)
    found = grid_points(depths)
    assert found.shape == (1, 2, 4, 2, 3)
    assert found[0, 1, 0, 1].tolist() == [-0.75, 0.5, 0.75]
    assert found[0, 0, 3, 0].tolist() == [0.75, -0.5, -0.5]
