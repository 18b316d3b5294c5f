"""HRNet backbones: identity with timm's network but for two settings and sizes it cannot take; parameter guard."""

import dataclasses

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.hrnet import HighResolutionModule
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.models.hrnet import Exchange

HRNETS = ("hrnet18", "hrnet48", "hrnet_nano")


@pytest.mark.parametrize("name", ["hrnet18", "hrnet48"])
def test_state_dict_is_timms(name):
    config = BACKBONES[name]
    with torch.device("meta"):
        ours = config.build()
        theirs = timm.create_model(
            config.timm, features_only=True, feature_location="", out_indices=(1, 2, 3, 4), pretrained=False
        )
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_equals_timm_once_its_upsampling_is_set_back():
    ours = BACKBONES["hrnet18"].build().eval()
    theirs = timm.create_model(
        "hrnet_w18_small_v2", features_only=True, feature_location="", out_indices=(1, 2, 3, 4), pretrained=False
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(ours(image)[0], theirs(image)[0], rtol=1e-2)
        for module in ours.modules():
            if isinstance(module, nn.Upsample):
                module.mode, module.align_corners = "nearest", None
        for a, b in zip(ours(image), theirs(image), strict=True):
            assert torch.equal(a, b)


def outcome(network, image, plain):
    """Maps, gradients and running statistics of a pass in training mode, by timm's own fusion where `plain`."""
    network.train().load_state_dict(BACKBONE_STATE)
    for module in network.modules():
        if isinstance(module, HighResolutionModule):
            module.__class__ = HighResolutionModule if plain else Exchange
    image = image.clone().requires_grad_()
    maps = network(image)
    gradients = torch.autograd.grad(sum(m.square().mean() for m in maps), [image, *network.parameters()])
    return [*maps, *gradients, *network.buffers()]


BACKBONE_STATE = BACKBONES["hrnet_nano"].build().state_dict()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 160)])
def test_fusion_is_timms_to_the_bit_where_sizes_are_multiples(size):
    image, network = torch.rand(2, 3, *size), BACKBONES["hrnet_nano"].build()
    found = [a.clone() for a in outcome(network, image, plain=False)]
    for ours, timms in zip(found, outcome(network, image, plain=True), strict=True):
        assert torch.equal(ours, timms)


def test_fusion_needs_it_elsewhere():
    with pytest.raises(RuntimeError, match="must match the size"):
        outcome(BACKBONES["hrnet_nano"].build(), torch.rand(2, 3, 40, 72), plain=True)


@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 130), width=st.integers(1, 130))
def test_any_size(height, width):
    with torch.device("meta"):
        network = BACKBONES["hrnet_nano"].build().eval()
        maps = network(torch.empty(1, 3, height, width))
    assert [tuple(m.shape[2:]) for m in maps] == [(-(-height // s), -(-width // s)) for s in network.strides]


def test_size_of_nyud_without_padding():
    with torch.device("meta"):
        maps = BACKBONES["hrnet48"].build()(torch.empty(1, 3, 425, 560))
    assert [tuple(m.shape[2:]) for m in maps] == [(107, 140), (54, 70), (27, 35), (14, 18)]


@torch.no_grad()
def test_what_comes_from_a_coarser_map_is_upsampled_and_then_resized():
    # 10 rows are halved to 5, 3 and 2, which come back as 10, 12 and 16.
    stage = BACKBONES["hrnet_nano"].build().eval().stage4[0]
    maps = [torch.rand(1, c, h, w) for c, h, w in ((8, 10, 13), (16, 5, 7), (32, 3, 4), (64, 2, 2))]
    branches = [branch(m) for branch, m in zip(stage.branches, maps, strict=True)]
    total = branches[0]
    for scale, (conv, norm, _) in enumerate(stage.fuse_layers[0][1:], start=1):
        terms = norm(conv(branches[scale]))
        terms = nn.functional.interpolate(terms, scale_factor=2**scale, mode="bilinear")
        total = total + nn.functional.interpolate(terms, size=(10, 13), mode="bilinear")
    torch.testing.assert_close(stage(list(maps))[0], total.relu())


@pytest.mark.parametrize("name", HRNETS)
def test_repaired_settings(name):
    with torch.device("meta"):
        modules = list(BACKBONES[name].build().modules())
    upsamplings = [m for m in modules if isinstance(m, nn.Upsample)]
    assert upsamplings
    assert {(m.mode, m.align_corners) for m in upsamplings} == {("bilinear", False)}
    assert {m.momentum for m in modules if isinstance(m, nn.BatchNorm2d)} == {0.1 if name == "hrnet_nano" else 0.01}


def test_published_parameter_counts():
    assert BACKBONES["hrnet18"].parameters == 3_860_720
    assert BACKBONES["hrnet48"].parameters == 65_325_120


def test_full_w18_is_refused():
    # It has the same widths, so that nothing but the count tells it from the paper's network.
    config = dataclasses.replace(BACKBONES["hrnet18"], timm="hrnet_w18")
    with torch.device("meta"), pytest.raises(SpecError, match="9,562,260 parameters, expected 3,860,720"):
        config.build()


def test_building_leaves_timms_table_alone():
    from timm.models.hrnet import cfg_cls

    before = repr(cfg_cls["hrnet_w18_small_v2"])
    with torch.device("meta"):
        BACKBONES["hrnet_nano"].build()
    assert repr(cfg_cls["hrnet_w18_small_v2"]) == before
