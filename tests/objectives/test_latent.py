"""What latent objectives share, against sums over single elements in double precision."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtlrepro.objectives import latent
from mtlrepro.objectives.latent import cosine_distance, gumbel_noise, hard_gumbel, normal_cdf, one_hot

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
seeds = st.integers(0, 10**6)


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_distance(first: Tensor, second: Tensor) -> list[float]:
    out = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        total, places = 0.0, [(y, x) for y in range(len(a[0])) for x in range(len(a[0][0]))]
        for y, x in places:
            u, v = [c[y][x] for c in a], [c[y][x] for c in b]
            lengths = math.hypot(*u) * math.hypot(*v)
            total += 1 - (sum(p * q for p, q in zip(u, v, strict=True)) / lengths if lengths else 0.0)
        out.append(total / len(places))
    return out


@given(shapes, seeds)
def test_cosine_distance_is_the_mean_over_positions(shape: tuple[int, int, int, int], seed: int) -> None:
    first, second = noise(shape, seed), noise(shape, seed + 1)
    first[:, :, 0, 0] = 0
    got = cosine_distance(first, second)
    assert got.shape == (shape[0],)
    assert got.tolist() == pytest.approx(brute_distance(first, second), rel=1e-12, abs=1e-12)
    single = cosine_distance(first.float(), second.float())
    assert single.tolist() == pytest.approx(got.tolist(), abs=2e-6)
    assert ((got >= -1e-12) & (got <= 2 + 1e-12)).all()


@given(shapes, seeds, st.floats(1e-3, 1e3))
def test_cosine_distance_knows_directions_only(shape: tuple[int, int, int, int], seed: int, scale: float) -> None:
    first, second = noise(shape, seed), noise(shape, seed + 1)
    assert cosine_distance(first, scale * first).tolist() == pytest.approx([0.0] * shape[0], abs=1e-12)
    assert cosine_distance(first, -scale * first).tolist() == pytest.approx([2.0] * shape[0], abs=1e-12)
    want = cosine_distance(first, second)
    torch.testing.assert_close(cosine_distance(scale * first, second), want, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cosine_distance(second, first), want, rtol=1e-12, atol=1e-12)


def test_a_vector_without_direction_has_cosine_0_and_a_finite_gradient() -> None:
    first = torch.zeros(1, 3, 1, 2)
    first[0, :, 0, 1] = torch.tensor([0.0, 3.0, 4.0])
    first.requires_grad_()
    second = torch.ones(1, 3, 1, 2)
    distance = cosine_distance(first, second)
    assert distance.item() == pytest.approx((1 + 1 - 7 / (5 * math.sqrt(3))) / 2, rel=1e-6)
    distance.sum().backward()
    assert torch.isfinite(first.grad).all()
    assert cosine_distance(torch.zeros(2, 3, 2, 2), second.expand(2, 3, 2, 2)[..., :2]).tolist() == [1.0, 1.0]


@given(st.floats(-50, 50), st.floats(-5, 5), st.floats(0.1, 5))
def test_normal_cdf_is_the_distribution_function(value: float, mean: float, std: float) -> None:
    want = NormalDist(mean, std).cdf(value)
    got = normal_cdf(torch.tensor([value], dtype=torch.float64), mean, std)
    assert got.item() == pytest.approx(want, rel=1e-12, abs=1e-15)
    single = normal_cdf(torch.tensor([value]), mean, std)
    assert single.item() == pytest.approx(want, abs=2e-6)
    assert 0 <= single.item() <= 1


def test_normal_cdf_rises_and_is_symmetric() -> None:
    values = torch.linspace(-4, 4, 81, dtype=torch.float64)
    squashed = normal_cdf(values)
    assert (squashed.diff() > 0).all()
    torch.testing.assert_close(squashed + squashed.flip(0), torch.ones_like(values))
    leaf = values.clone().requires_grad_()
    normal_cdf(leaf, 0.5, 2.0).sum().backward()
    assert leaf.grad.tolist() == pytest.approx([NormalDist(0.5, 2.0).pdf(v) for v in values.tolist()], rel=1e-10)


@given(st.integers(1, 6), seeds)
def test_one_hot_marks_each_pixels_class_and_nothing_where_it_is_ignored(classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes + 1, (2, 3, 4), generator=generator)
    labels[labels == classes] = 255
    hot = one_hot(labels, classes, torch.float64)
    assert hot.shape == (2, classes, 3, 4)
    assert hot.dtype == torch.float64
    for b, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4)).tolist():
        want = [float(c == labels[b, y, x]) for c in range(classes)]
        assert hot[b, :, y, x].tolist() == want
    assert one_hot(labels, classes).dtype == torch.float32


# drawn classes

LOGITS = (1.5, 0.0, -1.0, 0.7)


def test_classes_are_drawn_as_often_as_the_softmax_says() -> None:
    pixels = 200 * 200
    logits = torch.tensor(LOGITS).view(1, 4, 1, 1).expand(1, 4, 200, 200)
    torch.manual_seed(0)
    frequencies = hard_gumbel(logits).double().mean((0, 2, 3))
    for got, p in zip(frequencies.tolist(), torch.tensor(LOGITS).softmax(0).tolist(), strict=True):
        assert abs(got - p) < 4 * math.sqrt(p * (1 - p) / pixels)


@given(shapes, seeds)
def test_a_drawn_map_is_one_hot(shape: tuple[int, int, int, int], seed: int) -> None:
    torch.manual_seed(seed)
    drawn = hard_gumbel(noise(shape, seed).float())
    torch.testing.assert_close(drawn, drawn.round(), rtol=0, atol=1e-6)
    assert (drawn.round().sum(1) == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_is_that_of_the_softmax_of_the_same_draw(dtype: torch.dtype) -> None:
    logits, weights = (noise((2, 5, 3, 4), seed).to(dtype) for seed in (0, 1))
    leaf, twin = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    torch.manual_seed(7)
    drawn = hard_gumbel(leaf)
    (drawn * weights).sum().backward()
    torch.manual_seed(7)
    soft = (twin + gumbel_noise(twin.detach())).softmax(1)
    (soft * weights).sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert torch.equal(leaf.grad, twin.grad)
    assert torch.equal(drawn.detach().argmax(1), soft.detach().argmax(1))


def test_a_draw_depends_on_torchs_generator_alone() -> None:
    logits = noise((2, 5, 8, 8), 0)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(hard_gumbel(logits))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_noise_is_finite_even_for_the_smallest_and_largest_uniform_numbers(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    like = torch.zeros(3, 1, 1, 1, dtype=dtype)
    largest = 1 - torch.finfo(dtype).eps / 2
    numbers = torch.tensor([0.0, 0.5, largest], dtype=dtype).view(3, 1, 1, 1)
    monkeypatch.setattr(latent.torch, "rand_like", lambda _: numbers.clone())
    drawn = gumbel_noise(like)
    assert drawn.dtype == dtype
    assert torch.isfinite(drawn).all()
    assert (drawn.flatten().diff() > 0).all()
    assert drawn[1].item() == pytest.approx(-math.log(math.log(2)), rel=2e-2)


def test_noise_has_the_moments_of_the_gumbel_law() -> None:
    torch.manual_seed(0)
    drawn = gumbel_noise(torch.empty(400, 500, dtype=torch.float64))
    assert drawn.mean().item() == pytest.approx(0.5772157, abs=4 * math.pi / math.sqrt(6 * drawn.numel()))
    assert drawn.var().item() == pytest.approx(math.pi**2 / 6, rel=0.02)
    assert (drawn <= 0).double().mean().item() == pytest.approx(math.exp(-1), abs=5e-3)
