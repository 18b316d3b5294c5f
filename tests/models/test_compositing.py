"""Compositing along rays: published weights, brute force, the sums that must hold, EG3D's conventions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.compositing import (
    compositing_weights,
    inverse_cdf,
    midpoints,
    refined,
    steps,
    stratified,
)

SIGMA = torch.tensor([0.5, 1, 2, 0.1], dtype=torch.float64)
DENSITIES = st.lists(st.floats(0, 50), min_size=1, max_size=12)


def composite(sigma, values, delta):
    """Σ_k w_k v_k: (..., n) of densities (..., N) and values (..., N, n)."""
    return (compositing_weights(sigma, delta)[..., None, :] @ values).squeeze(-2)


def test_weight_vectors():
    weights = compositing_weights(SIGMA, 0.5)
    assert weights.tolist() == pytest.approx([0.221199, 0.306434, 0.298593, 0.008475], abs=1e-6)
    assert weights.sum().item() == pytest.approx(0.834701, abs=1e-6)
    opaque = compositing_weights(SIGMA, 0.5, "opaque")
    assert opaque[:-1].tolist() == weights[:-1].tolist()
    assert opaque[-1].item() == pytest.approx(0.173774, abs=1e-6)
    assert opaque.sum().item() == pytest.approx(1)


@settings(max_examples=60)
@given(sigma=DENSITIES, delta=st.floats(0.001, 1))
def test_brute_force_and_sum(sigma, delta):
    expected, through = [], 1.0
    for density in sigma:
        ending = 1 - math.exp(-density * delta)
        expected.append(ending * through)
        through *= 1 - ending
    weights = compositing_weights(torch.tensor(sigma, dtype=torch.float64), delta)
    assert weights.tolist() == pytest.approx(expected, abs=1e-12)
    assert weights.min() >= 0
    assert weights.sum().item() == pytest.approx(1 - through, abs=1e-12)
    assert weights.sum() <= 1 + 1e-12
    opaque = compositing_weights(torch.tensor(sigma, dtype=torch.float64), delta, "opaque")
    assert opaque.sum().item() == pytest.approx(1, abs=1e-12)


@settings(max_examples=30)
@given(sigma=DENSITIES, value=st.floats(-5, 5))
def test_a_constant_is_rendered_as_far_as_the_ray_ends(sigma, value):
    density = torch.tensor(sigma, dtype=torch.float64)
    found = composite(density, torch.full((len(sigma), 2), value, dtype=torch.float64), 0.1)
    assert found.tolist() == pytest.approx([value * -math.expm1(-0.1 * sum(sigma))] * 2, abs=1e-10)


@given(at=st.integers(0, 9))
def test_an_opaque_plane_shows_what_lies_there(at):
    sigma = torch.zeros(3, 10, dtype=torch.float64)
    sigma[:, at] = 1e6
    depths = midpoints(10, torch.float64)
    found = composite(sigma, depths[:, None].expand(3, 10, 1), 0.2)
    assert found.flatten().tolist() == pytest.approx([depths[at].item()] * 3, abs=1e-12)


def test_weights_are_differentiable_in_densities_and_steps():
    sigma, delta = (values.double().abs().requires_grad_() for values in randn(1, (2, 3, 5), (2, 3, 5)))
    for last in ("finite", "opaque"):
        assert torch.autograd.gradcheck(lambda s, d, last=last: compositing_weights(s, d, last), (sigma, delta))


def test_no_gradient_behind_an_opaque_sample_is_broken():
    sigma = torch.tensor([1e9, 1.0, 0.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(compositing_weights(sigma, 0.5).sum(), sigma)
    assert gradient.tolist() == [0, 0, 0]


@given(n=st.integers(1, 40))
def test_midpoints(n):
    found = midpoints(n, torch.float64)
    assert found.tolist() == pytest.approx([(2 * k + 1) / n - 1 for k in range(n)])


@given(n=st.integers(1, 20), seed=st.integers(0, 99))
def test_stratified_has_one_sample_in_each_interval(n, seed):
    torch.manual_seed(seed)
    found = stratified((50, n), torch.float64)
    assert ((found + 1) * n / 2).floor().eq(torch.arange(n)).all()
    torch.manual_seed(seed)
    assert torch.equal(stratified((50, n), torch.float64), found)


def test_steps_reach_the_next_sample_and_the_face():
    depths = torch.tensor([-0.5, 0.0, 0.75])
    assert steps(depths).tolist() == [0.5, 0.75, 0.25]


def eg3d_rays():
    stream = np.random.RandomState(8)
    values, raw, depths = stream.rand(1, 2, 6, 3), 2 * stream.randn(1, 2, 6, 1), stream.rand(1, 2, 6, 1)
    return (torch.from_numpy(v) for v in (values, raw[..., 0], np.sort(depths, axis=-2)))


def test_eg3d_marcher():
    """EG3D's marcher is the same compositing of the means of neighbours."""
    values, raw, depths = eg3d_rays()
    depths = depths[..., 0]
    sigma = F.softplus((raw[..., 1:] + raw[..., :-1]) / 2 - 1)
    weights = compositing_weights(sigma, depths.diff(dim=-1))
    assert weights[0, 0].tolist() == pytest.approx([0.002163, 0.012083, 0.029110, 0.233091, 0.012997], abs=1e-6)
    colour = 2 * composite(sigma, (values[..., 1:, :] + values[..., :-1, :]) / 2, depths.diff(dim=-1)) - 1
    assert colour[0, 0].tolist() == pytest.approx([-0.654595, -0.653336, -0.668796], abs=1e-6)
    assert colour[0, 1].tolist() == pytest.approx([-0.696504, -0.886491, -0.820398], abs=1e-6)
    middle = (depths[..., 1:] + depths[..., :-1]) / 2
    expected = (weights * middle).sum(dim=-1) / weights.sum(dim=-1)
    assert expected[0].tolist() == pytest.approx([0.357002, 0.588116], abs=1e-6)


def test_eg3d_inverse_cdf():
    weights = torch.tensor([0.1, 0.5, 0.2, 0, 0.2])
    found = inverse_cdf(torch.linspace(0, 1, 6), weights, torch.linspace(0, 1, 5))
    assert found.tolist() == pytest.approx([0, 0.260003, 0.360003, 0.550010, 1], abs=1e-5)


@settings(max_examples=30)
@given(weights=st.lists(st.floats(0, 1), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_draws_follow_the_weights(weights, seed):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.linspace(-1, 1, len(weights) + 1, dtype=torch.float64)
    draws = torch.linspace(0, 1, 2001, dtype=torch.float64)
    found = inverse_cdf(edges, torch.tensor(weights, dtype=torch.float64), draws)
    assert (found.diff() >= 0).all()
    assert found[0] >= edges[0]
    assert found[-1] <= edges[-1]
    share = (torch.tensor(weights, dtype=torch.float64) + 1e-5) / (sum(weights) + 1e-5 * len(weights))
    bins = (torch.bucketize(found, edges, right=True) - 1).clamp(0, len(weights) - 1)
    counted = torch.bincount(bins, minlength=len(weights)) / len(draws)
    torch.testing.assert_close(counted.double(), share, rtol=0, atol=2e-3)
    shuffled = draws[torch.randperm(len(draws), generator=generator)]
    assert torch.equal(inverse_cdf(edges, torch.tensor(weights, dtype=torch.float64), shuffled).sort().values, found)


def test_refined_samples_gather_where_weight_is():
    depths = midpoints(48, torch.float64).expand(2, 3, 48)
    weights = torch.zeros(2, 3, 48, dtype=torch.float64)
    weights[..., 30:32] = 0.4
    found = refined(depths, weights, torch.linspace(0, 1, 48, dtype=torch.float64).expand(2, 3, 48))
    assert found.shape == (2, 3, 96)
    assert (found.diff(dim=-1) >= 0).all()
    near = ((found - depths[0, 0, 30:32].mean()).abs() < 0.09).sum(dim=-1)
    assert (near >= 30).all()
    assert set(depths[0, 0].tolist()) <= set(found[0, 0].tolist())


def test_refined_smooths_as_pooling_does():
    """EG3D takes the highest of two neighbours, then the mean of two: the inner weights, without the ends."""
    weights = randn(3, (4, 9))[0].double().abs()
    pooled = F.avg_pool1d(F.max_pool1d(weights[:, None], 2, stride=1, padding=1), 2, stride=1)[:, 0] + 0.01
    depths, draws = midpoints(9, torch.float64).expand(4, 9), torch.linspace(0, 1, 5, dtype=torch.float64).expand(4, 5)
    more = inverse_cdf((depths[:, 1:] + depths[:, :-1]) / 2, pooled[:, 1:-1], draws)
    expected = torch.cat((depths, more), dim=-1).sort(dim=-1).values
    torch.testing.assert_close(refined(depths, weights, draws), expected)


@pytest.mark.parametrize("last", ["infinite", None, 1])
def test_unknown_last_interval(last):
    with pytest.raises(SpecError, match="Known: finite, opaque"):
        compositing_weights(SIGMA, 0.5, last)
