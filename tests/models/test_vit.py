"""Vision transformers: identity with timm's network, what is tapped, positions, errors."""

import dataclasses
from functools import partial

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from timm.layers import DropPath
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.vit import VIT_B16, VIT_L16, VIT_NANO, resize_positions

PUBLISHED = {"vit_large_patch16_384": VIT_L16, "vit_base_patch16_384": VIT_B16}
SIZE = (64, 96)


def nano(**changes):
    torch.manual_seed(0)
    return dataclasses.replace(VIT_NANO, **changes).build(size=SIZE)


@pytest.mark.parametrize("name", PUBLISHED)
def test_state_dict_is_timms(name):
    with torch.device("meta"):
        ours = PUBLISHED[name].build(size=(448, 576))
        theirs = timm.create_model(name, img_size=(448, 576), num_classes=0)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert PUBLISHED[name].weights == (f"{name}.augreg_in21k_ft_in1k",)
    assert ours.pos_embed.shape[1] == 1 + 28 * 36


@pytest.mark.parametrize(("config", "taps"), [(VIT_L16, (6, 12, 18, 24)), (VIT_B16, (3, 6, 9, 12))])
def test_taps(config, taps):
    assert config.taps == taps
    with torch.device("meta"):
        maps = config.build(size=(448, 576))(torch.empty(1, 3, 448, 576))
    assert [m.shape for m in maps] == [(1, config.width, 28, 36)] * 4


def test_maps_are_timms_residual_stream():
    ours = nano(taps=(1, 3, 4)).eval()
    theirs = VisionTransformer(
        img_size=SIZE,
        patch_size=8,
        num_classes=0,
        embed_dim=96,
        depth=4,
        num_heads=3,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for parameter in (ours.norm.weight, theirs.norm.weight):
            parameter.copy_(torch.linspace(0.5, 2, 96))
    expected = {}
    for name in ("blocks.0", "blocks.2", "norm"):
        theirs.get_submodule(name).register_forward_hook(
            lambda _, i, result, name=name: expected.update({name: result})
        )
    image = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        found = ours(image)
        theirs(image)
    for maps, tokens in zip(found, expected.values(), strict=True):
        for row, column in ((0, 0), (3, 7), (7, 11)):
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 1 + 12 * row + column])


@pytest.mark.parametrize(("config", "rates"), [(VIT_L16, 24), (VIT_B16, 12)])
def test_stochastic_depth_rises_linearly(config, rates):
    with torch.device("meta"):
        blocks = config.build(size=SIZE).blocks
    assert len(blocks) == rates
    assert not any(isinstance(m, DropPath) for m in blocks[0].modules())
    for number, block in enumerate(blocks[1:], 1):
        drops = [m.drop_prob for m in block.modules() if isinstance(m, DropPath)]
        assert drops == pytest.approx([0.15 * number / (rates - 1)] * 2)


def test_no_other_dropout():
    with torch.device("meta"):
        modules = [m for config in (VIT_L16, VIT_NANO) for m in config.build(size=SIZE).modules()]
        assert not any(isinstance(m, DropPath) for m in VIT_NANO.build(size=SIZE).modules())
    assert {m.p for m in modules if isinstance(m, nn.Dropout)} == {0.0}
    assert {m.eps for m in modules if isinstance(m, nn.LayerNorm)} == {1e-6}
    assert {m.approximate for m in modules if isinstance(m, nn.GELU)} == {"none"}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_gradients_repeat_bit_by_bit(device):
    model, image = nano().to(device), torch.rand(2, 3, *SIZE, device=device)
    parameters = list(model.parameters())
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        first, second = (torch.autograd.grad(sum(m.square().sum() for m in model(image)), parameters) for _ in range(2))
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_position_vectors():
    wave = torch.sin(0.01 * torch.arange(577 * 4, dtype=torch.float64)).float().view(1, 577, 4)
    places = [0, 1, 2, 37, 500, 1008]
    found = resize_positions(wave, (28, 36))
    assert found.shape == (1, 1009, 4)
    assert found.mean().item() == pytest.approx(0.059918, abs=1e-6)
    expected = [0, -0.000575, 0.019550, 0.678246, -0.875336, -0.904507]
    assert found[0, places, 0].tolist() == pytest.approx(expected, abs=2e-6)
    (noise,) = randn(5, (1, 577, 4))
    expected = [0.441227, 0.069807, 0.171759, 0.764760, -1.196713, 1.879968]
    assert resize_positions(noise, (28, 36))[0, places, 0].tolist() == pytest.approx(expected, abs=2e-6)


@settings(max_examples=20, deadline=None)
@given(side=st.integers(1, 6), rows=st.integers(1, 7), columns=st.integers(1, 7))
def test_positions_of_one_value_keep_it_and_the_class_tokens_stay(side, rows, columns):
    positions = torch.cat([torch.tensor([[[7.0, 8.0]]]), torch.tensor([1.5, -2.0]).expand(1, side * side, 2)], dim=1)
    found = resize_positions(positions, (rows, columns))
    assert found.shape == (1, 1 + rows * columns, 2)
    assert found[0, 0].tolist() == [7, 8]
    torch.testing.assert_close(found[:, 1:], torch.tensor([1.5, -2.0]).expand(1, rows * columns, 2))


def test_positions_of_the_same_grid_stay_as_they_are():
    (positions,) = randn(3, (1, 1 + 25, 3))
    assert torch.equal(resize_positions(positions, (5, 5)), positions)


def test_without_a_size_is_refused():
    with pytest.raises(SpecError, match=r"model.backbone: its learned positions .* Give build_model the size"):
        VIT_NANO.build()


@pytest.mark.parametrize("size", [(64, 92), (60, 96), (425, 560)])
def test_parts_of_patches_are_refused(size):
    with pytest.raises(
        SpecError, match=rf"data.size: cannot take an image of {size[0]}x{size[1]} pixels.*multiples of"
    ):
        VIT_L16.build(size=size)


def test_another_size_than_that_of_the_positions_is_refused():
    with pytest.raises(SpecError, match=r"data.size: .*an image of 96x64 pixels, .* those of 64x96"):
        nano()(torch.empty(1, 3, 96, 64))


def test_the_number_of_parameters_is_guarded():
    with torch.device("meta"), pytest.raises(SpecError, match="466,176 parameters, expected 466,177"):
        nano(parameters=466_177)
