"""Tri-planes: published lookups, PyTorch's sampling as the oracle of values and gradients, the encoder's layers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from point_lookup import look_up
from torch import nn
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.triplane import TriplaneEncoder, aggregated, inside, neighbours, resampled
from mtlrepro.models.volume import look_up_plainly

LOOKUPS = {
    (-0.5, 0.25, 0.1): (0.058339, -1.859606, -1.199228, 0.241401),
    (0.9, -0.9, 0.95): (-2.706953, 0.939056, -1.210307, -1.210645),
    (0.0, 0.0, 0.0): (-1.785136, -0.625607, -0.088413, -1.406993),
}


def draw(seed, shape, points, spread=1.5):
    """Planes with a gradient, and points of which many lie outside the box."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
    return planes, spread * (2 * torch.rand(*points, 3, dtype=torch.float64, generator=generator) - 1)


@pytest.mark.parametrize("point", LOOKUPS)
@pytest.mark.parametrize("form", [look_up, look_up_plainly])
def test_lookup_vectors(form, point):
    found = form(randn(7, (1, 3, 4, 5, 6))[0], torch.tensor([[point]]))
    assert found.shape == (1, 1, 4)
    assert found.flatten().tolist() == pytest.approx(LOOKUPS[point], abs=1e-5)
    assert form(randn(7, (1, 3, 4, 5, 6))[0], torch.tensor([[point]]), "mean").flatten().tolist() == pytest.approx(
        [value / 3 for value in LOOKUPS[point]], abs=1e-5
    )


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 5),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    points=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 999),
)
def test_same_as_sampling_each_plane(batch, channels, size, points, seed):
    planes, where = draw(seed, (batch, 3, channels, *size), (batch, *points))
    found, expected = look_up(planes, where), look_up_plainly(planes, where)
    assert found.shape == (batch, *points, channels)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    upstream = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mine, theirs = (torch.autograd.grad(values, planes, upstream)[0] for values in (found, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_gradient_numerically():
    planes, where = draw(1, (2, 3, 2, 3, 4), (2, 5))
    assert torch.autograd.gradcheck(lambda p: look_up(p, where, "mean"), (planes,))


def test_no_gradient_reaches_the_points():
    planes, where = draw(2, (1, 3, 2, 3, 4), (1, 5))
    (gradient,) = torch.autograd.grad(look_up(planes, where.requires_grad_()).sum(), where, allow_unused=True)
    assert gradient is None


def test_axes_of_the_planes():
    """A plane that rises by one each column or row shows which coordinate moves along it: height 4, width 8."""
    columns, rows = torch.arange(8.0).expand(4, 8), torch.arange(4.0)[:, None].expand(4, 8)
    at = torch.tensor([[[0.25, 0.5, -0.5]]])  # column (c + 1) 4 - 0.5, row (c + 1) 2 - 0.5
    expected = {0: (4.5, 2.5), 1: (4.5, 0.5), 2: (1.5, 2.5)}
    for plane, (column, row) in expected.items():
        planes = torch.zeros(1, 3, 2, 4, 8)
        planes[0, plane] = torch.stack((columns, rows))
        assert look_up(planes, at).flatten().tolist() == [column, row]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_bits(device):
    planes, where = draw(3, (2, 3, 16, 9, 11), (2, 4000))
    planes, where = planes.detach().float().to(device).requires_grad_(), where.float().to(device)
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        first, second = (torch.autograd.grad(look_up(planes, where).square().sum(), planes)[0] for _ in range(2))
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert torch.equal(first, second)


def test_half_precision_planes_are_looked_up_in_float32():
    planes, where = draw(4, (1, 3, 2, 3, 4), (1, 6))
    assert look_up(planes.half(), where).dtype == torch.float32


@settings(max_examples=40, deadline=None)
@given(cells=st.integers(1, 9), size=st.integers(1, 20), dim=st.sampled_from([2, 3]))
def test_resampled_is_bilinear_resizing(cells, size, dim):
    maps = randn(cells, (2, 3, cells, cells))[0].double()
    after = [size if d == dim else cells for d in (2, 3)]
    expected = F.interpolate(maps, size=after, mode="bilinear", align_corners=False)
    torch.testing.assert_close(resampled(maps, dim, size), expected, rtol=1e-12, atol=1e-12)


def test_resampling_to_the_same_size_is_nothing():
    maps = randn(1, (2, 3, 5, 6))[0]
    assert resampled(maps, 2, 5) is maps
    assert resampled(maps, 3, 6) is maps


@given(coordinate=st.floats(-3, 3), size=st.integers(1, 9))
def test_neighbours(coordinate, size):
    cells, shares = neighbours(torch.tensor(coordinate, dtype=torch.float64), size)
    place = min(max((coordinate + 1) * size / 2 - 0.5, 0), size - 1)
    assert 0 <= cells.min() <= cells.max() < size
    assert shares.min() >= 0
    assert (cells * shares).sum().item() == pytest.approx(place, abs=1e-9)
    assert shares.sum().item() == pytest.approx(1)


def test_inside():
    points = [(0, 0, 0), (1, -1, 1), (1.001, 0, 0), (0, -2, 0), (0, 0, math.inf), (math.nan, 0, 0)]
    assert inside(torch.tensor(points, dtype=torch.float32)).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("inputs", "parameters"), [(1024, 2_102_016), (768, 2_102_016 - 256 * 1728), (720, 2_102_016 - 304 * 1728)]
)
def test_encoder_size(inputs, parameters):
    with torch.device("meta"):
        encoder = TriplaneEncoder(inputs)
        planes = encoder(torch.empty(2, inputs, 56, 72))
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert planes.shape == (2, 3, 64, 56, 72)


@pytest.mark.parametrize(
    ("norm", "layers"),
    [
        ("per_conv", [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout] * 2),
        ("single", [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout]),
    ],
)
def test_encoder_layers(norm, layers):
    encoder = TriplaneEncoder(5, 4, hidden=6, dropout=0.3, norm=norm)
    assert [type(layer) for layer in encoder.layers] == layers
    convolutions = [layer for layer in encoder.layers if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.bias) for c in convolutions] == [
        (5, 6, (3, 3), None),
        (6, 12, (3, 3), None),
    ]
    assert {layer.p for layer in encoder.layers if isinstance(layer, nn.Dropout)} == {0.3}


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_encoder_kernel(kernel):
    """Planes have the map's size, and a cell depends on what lies within two kernels around it."""
    encoder = TriplaneEncoder(5, 4, hidden=6, kernel=kernel).eval()
    convolutions = [layer for layer in encoder.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(kernel, kernel)] * 2
    features = torch.rand(1, 5, 15, 17, requires_grad=True)
    planes = encoder(features)
    assert planes.shape == (1, 3, 4, 15, 17)
    for layer in convolutions:
        nn.init.ones_(layer.weight)
    (gradient,) = torch.autograd.grad(encoder(features)[..., 7, 8].sum(), features)
    rows, columns = gradient[0, 0].nonzero().unbind(1)
    assert sorted(set(rows.tolist())) == list(range(7 - (kernel - 1), 7 + kernel))
    assert sorted(set(columns.tolist())) == list(range(8 - (kernel - 1), 8 + kernel))


def test_encoder_splits_its_width_in_the_order_of_the_planes():
    encoder = TriplaneEncoder(3, 2, hidden=5).eval()
    features = randn(1, (2, 3, 4, 5))[0]
    planes, width = encoder(features), encoder.layers(features)
    for plane in range(3):
        assert torch.equal(planes[:, plane], width[:, 2 * plane : 2 * plane + 2])


def test_what_does_not_fit_is_named():
    with pytest.raises(SpecError, match="per_conv"):
        TriplaneEncoder(3, norm="per_convolution")
    for wrong in (None, 1, ["single"]):
        with pytest.raises(SpecError, match="Known: per_conv, single"):
            TriplaneEncoder(3, norm=wrong)
        with pytest.raises(SpecError, match="Known: mean, sum"):
            aggregated(torch.zeros(1, 3, 4, 5, 6), wrong)
    for kernel in (0, 2, -1, True, 3.0, "3", None):
        with pytest.raises(SpecError, match=r"has no centre\. Give an odd number") as caught:
            TriplaneEncoder(3, kernel=kernel)
        assert caught.value.field == "objective.options.kernel"
    with pytest.raises(SpecError, match="no tri-plane"):
        aggregated(torch.zeros(1, 2, 4, 5, 6), "sum")
    with pytest.raises(SpecError, match="no tri-plane"):
        aggregated(torch.zeros(3, 4, 5, 6), "sum")
    with pytest.raises(SpecError, match="Known: mean, sum"):
        look_up(torch.zeros(1, 3, 4, 5, 6), torch.zeros(1, 3), "product")
