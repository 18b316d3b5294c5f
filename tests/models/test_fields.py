"""Fields: along rays they have the values of their points."""

import pytest
import torch
from point_lookup import look_up

from mtlrepro.data.frustum import grid_points
from mtlrepro.models import fields
from mtlrepro.models.compositing import stratified
from mtlrepro.models.fields import Field
from mtlrepro.models.rays import aligned


@pytest.mark.parametrize("held", [1, 100, 700, 5000])
@pytest.mark.parametrize("slope", [0.2, 0.0, -0.2])
def test_march(monkeypatch, held, slope):
    """In parts of a ray, of some rays, of an image and of all images; also with the slope as the paper prints it."""
    monkeypatch.setitem(fields.HELD, "cpu", held)
    torch.manual_seed(0)
    field = Field(4, 5, 3, slope).double()
    planes = torch.randn(3, 3, 4, 4, 5, dtype=torch.float64)
    depths = stratified((3, 20, 6), torch.float64)
    points = look_up(planes, grid_points(depths.view(3, 4, 5, 6))).flatten(1, 2)
    rays, weights = aligned(planes, (4, 5), depths), torch.rand(3, 20, 6, dtype=torch.float64)
    torch.testing.assert_close(field.march(rays) + field.last.bias[0], field(points)[..., 0])
    found = field.march(rays, weights) @ field.last.weight.T + weights.sum(-1, keepdim=True) * field.last.bias
    torch.testing.assert_close(found, (weights[..., None] * field(points)).sum(dim=2))


def test_parameters():
    field = Field(64, 64, 40, 0.2)
    assert sum(p.numel() for p in field.parameters()) == 6760
    x = torch.randn(7, 64)
    hidden = field.first(x)
    torch.testing.assert_close(field(x), field.last(torch.where(hidden > 0, hidden, 0.2 * hidden)))
