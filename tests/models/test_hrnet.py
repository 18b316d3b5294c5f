"""HRNet backbones: identity with timm's network but for the two repaired settings, and the parameter guard."""

import dataclasses

import pytest
import timm
import torch
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.backbones import BACKBONES

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
