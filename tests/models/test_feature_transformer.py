"""The feature transformer: published vectors, a dense oracle of its attention, sizes, initialisation, determinism."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream, assert_sums
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.feature_transformer import FeatureTransformer


def seeded(channels=4, seed=0, **values):
    torch.manual_seed(seed)
    return FeatureTransformer(channels, **values)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(**values):
    with torch.device("meta"):
        return sum(p.numel() for p in FeatureTransformer(256, **values).parameters())


def test_published_vector():
    stream, model = Stream(15, 0.1), FeatureTransformer(16)
    for stage, blocks in enumerate(model.stages):
        for block in blocks:
            stream.fill(*block.norm1.parameters(), block.attn.relative_position_bias_table)
            for layer in (block.attn.qkv, block.attn.proj, block.norm2, block.mlp[0], block.mlp[3]):
                stream.fill(*layer.parameters())
        for merge in model.merge[stage : stage + 1]:
            stream.fill(*merge.norm.parameters(), merge.reduction.weight)
    for norm in model.norms:
        stream.fill(*norm.parameters())
    for layer in model.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.weight.data += 1
    maps = model(stream.normal(1, 16, 30, 36))
    assert [m.shape for m in maps] == [(1, 16, 30, 36), (1, 32, 15, 18), (1, 64, 8, 9)]
    assert_sums(maps[0], 332.892670, 13712.943, 16829.3035, [0.840903, -0.163949, -2.611423], 0.247855)
    assert_sums(maps[1], -357.899938, 6955.687, 8789.8350, [0.853460, -0.785701, -0.798868], -0.093342)
    assert_sums(maps[2], -83.762763, 3651.147, 4548.4219, [-0.850730, 0.074776, 1.396601], -0.543514)


def test_published_parameters():
    assert parameters() == 22_323_272
    assert parameters(depths=(1,), heads=(2,)) == 790_098 + 512  # what a single-task network reads


def windowed(block, pixels, heads, shift):
    """A block on one image (H, W, C) by one dense attention over all pixels of the padded map."""
    height, width, channels = pixels.shape
    padded = [7 * math.ceil(side / 7) for side in (height, width)]
    tokens = pixels.new_zeros(*padded, channels)
    tokens[:height, :width] = block.norm1(pixels)
    tokens = tokens.flatten(0, 1)
    # Where the shift takes every pixel, its window there, and the part of the map from which its window is filled.
    place = torch.cartesian_prod(*(torch.arange(side) for side in padded))
    sides = torch.tensor(padded)
    place = (place - shift) % sides
    region = (place >= sides - 7).long() + (place >= sides - shift).long() if shift else torch.zeros_like(place)
    same_window = (place[:, None] // 7 == place[None] // 7).all(-1)
    same_region = (region[:, None] == region[None]).all(-1)
    offset = (place[:, None] - place[None] + 6).clamp(0, 12)  # beyond a window nothing is attended to
    bias = block.attn.relative_position_bias_table[offset[..., 0] * 13 + offset[..., 1]]
    query, key, value = block.attn.qkv(tokens).unflatten(-1, (3, heads, -1)).unbind(1)
    scores = torch.einsum("qhc,khc->qkh", query, key) / math.sqrt(channels // heads) + bias
    scores = scores - 100.0 * ~same_region[..., None]
    weights = scores.masked_fill(~same_window[..., None], -math.inf).softmax(1)
    mixed = block.attn.proj(torch.einsum("qkh,khc->qhc", weights, value).flatten(1))
    pixels = pixels + mixed.unflatten(0, padded)[:height, :width]
    return pixels + block.mlp(block.norm2(pixels))


@settings(max_examples=6)
@given(height=st.integers(8, 16), width=st.integers(8, 16), seed=st.integers(0, 2**16))
def test_attention_within_shifted_windows(height, width, seed):
    model = seeded(8, seed, depths=(2,), heads=(2,)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    pixels = noise(height, width, 8, seed=seed).double()
    expected = pixels
    for block, shift in zip(model.stages[0], (0, 3), strict=True):
        expected = windowed(block, expected, 2, shift)
    (found,) = model(pixels.permute(2, 0, 1)[None])
    torch.testing.assert_close(found[0].permute(1, 2, 0), model.norms[0](expected))


def test_no_shift_along_a_side_of_one_window():
    model = seeded(4, depths=(2,), heads=(2,))
    plain, shifted = model.stages[0]
    shifted.load_state_dict(plain.state_dict())
    for size, same in (((7, 7), True), ((4, 6), True), ((8, 7), False), ((8, 8), False)):
        pixels = noise(1, *size, 4)
        assert torch.equal(plain(pixels), shifted(pixels)) is same


@settings(max_examples=15)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 3))
def test_sizes_round_up(height, width, stages):
    model = seeded(2, depths=(1,) * stages, heads=(1,) * stages).eval()
    maps = model(noise(1, 2, height, width))
    assert model.widths == tuple(2 * 2**s for s in range(stages))
    assert [m.shape[1:] for m in maps] == [
        (width_s, math.ceil(height / 2**s), math.ceil(width / 2**s)) for s, width_s in enumerate(model.widths)
    ]


def test_training_changes_nothing_and_every_parameter_learns():
    model, features = seeded(), noise(2, 4, 16, 24)
    training, evaluation = model.train()(features), model.eval()(features)
    assert all(torch.equal(one, other) for one, other in zip(training, evaluation, strict=True))
    sum(m.square().sum() for m in model(features)[1:]).backward()  # stages 1 and 2 read stage 0 before its norm
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == {"norms.0.weight", "norms.0.bias"}


def test_initialisation_is_that_of_the_layers():
    model = seeded(64)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            assert 0.99 * bound < layer.weight.abs().max() <= bound, name
            assert layer.bias is None or 0.9 * bound < layer.bias.abs().max() <= bound, name
    tables = [p for name, p in model.named_parameters() if name.endswith("relative_position_bias_table")]
    assert [p.shape for p in tables] == [(169, 2)] * 4
    assert torch.cat(tables).std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    def gradients():
        model = seeded(16).to(device)
        sum(m.square().mean() for m in model(noise(2, 16, 22, 30).to(device))).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


def test_heads_that_cannot_share_a_width():
    with pytest.raises(SpecError, match=r"model.backbone: 2 heads cannot share 9 channels\. Name a backbone whose"):
        FeatureTransformer(9)
