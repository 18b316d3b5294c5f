"""Deformable attention: PyTorch's sampling as the oracle of values and gradients, the library's module, borders."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mtlrepro.models.deformable import DeformableAttention, attend


def sampled(values, shapes, locations, weights):
    """The same by `grid_sample`, map by map, head by head and point by point."""
    heads = []
    for head in range(values.shape[2]):
        total, start = 0, 0
        for level, (height, width) in enumerate(shapes):
            cells = values[:, start : start + height * width, head].mT.unflatten(2, (height, width))
            start += height * width
            where = 2 * locations[:, :, head, level] - 1
            found = F.grid_sample(cells, where, padding_mode="zeros", align_corners=False)  # (B, C, Q, points)
            total = total + (found * weights[:, None, :, head, level]).sum(-1).mT
        heads.append(total)
    return torch.cat(heads, dim=-1)


def draw(seed, batch, shapes, heads, channels, queries, points, dtype=torch.float64):
    """Values, locations of which some lie beyond the border, and weights, all with gradients."""
    generator = torch.Generator().manual_seed(seed)
    cells, maps = sum(h * w for h, w in shapes), len(shapes)
    values = torch.randn(batch, cells, heads, channels, generator=generator, dtype=dtype)
    locations = 1.6 * torch.rand(batch, queries, heads, maps, points, 2, generator=generator, dtype=dtype) - 0.3
    weights = torch.randn(batch, queries, heads, maps, points, generator=generator, dtype=dtype)
    return [t.requires_grad_() for t in (values, locations, weights)]


def gradients(result, inputs):
    upstream = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=result.dtype)
    return torch.autograd.grad(result, inputs, upstream.to(result.device))


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3),
    heads=st.integers(1, 3),
    channels=st.integers(1, 4),
    queries=st.integers(1, 5),
    points=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_same_as_sampling_each_map(batch, shapes, heads, channels, queries, points, seed):
    values, locations, weights = inputs = draw(seed, batch, shapes, heads, channels, queries, points)
    found, expected = attend(values, shapes, locations, weights), sampled(values, shapes, locations, weights)
    assert found.shape == (batch, queries, heads * channels)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_a_point_in_the_middle_of_a_cell_gets_that_cell_and_far_ones_nothing():
    values = torch.arange(1.0, 7).view(1, 6, 1, 1)  # one map of 2x3
    at = torch.tensor(
        [[0.5 / 3, 0.25], [2.5 / 3, 0.75], [0.0, 0.25], [0.0, 0.0], [-0.5, 0.25], [0.5, 1.25], [1e30, 0.5]]
    )
    found = attend(values, [(2, 3)], at.view(1, 7, 1, 1, 1, 2), torch.ones(1, 7, 1, 1, 1))
    assert found.flatten().tolist() == pytest.approx([1, 6, 0.5, 0.25, 0, 0, 0])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_gradients_repeat_bit_by_bit(device):
    shapes = [(6, 8), (3, 4)]
    inputs = [t.detach().to(device).requires_grad_() for t in draw(0, 2, shapes, 2, 8, 60, 4, dtype=torch.float32)]
    values, locations, weights = inputs
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        first, second = (gradients(attend(values, shapes, locations, weights), inputs) for _ in range(2))
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_same_as_the_librarys_module():
    modeling = pytest.importorskip("transformers.models.mask2former.modeling_mask2former")
    torch.manual_seed(0)
    library = modeling.Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention(
        32, num_heads=4, n_levels=3, n_points=4
    )
    shapes = [(2, 3), (4, 6), (8, 12)]
    cells = sum(h * w for h, w in shapes)
    states, places = torch.randn(2, cells, 32, requires_grad=True), torch.randn(1, cells, 32)
    call = {
        "hidden_states": states,
        "encoder_hidden_states": states,
        "position_embeddings": places,
        "reference_points": torch.rand(2, cells, 3, 2),
        "spatial_shapes_list": shapes,
        "attention_mask": torch.zeros(2, cells, dtype=torch.bool),
    }
    ours = DeformableAttention(library)
    assert ours.state_dict().keys() == library.state_dict().keys()
    inputs = [states, *library.parameters()]
    (expected, _), (found, _) = library(**call), ours(**call)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * scale)
