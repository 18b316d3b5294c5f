"""What every backbone keeps to: maps as announced, one clear error for an image that does not fit."""

import pytest
import torch

from mtlrepro.errors import SpecError
from mtlrepro.models.backbones import BACKBONES


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_are_what_the_backbone_says(name):
    with torch.device("meta"):
        backbone = BACKBONES[name].build(size=(64, 96))
        maps = backbone(torch.empty(2, 3, 64, 96))
    assert len(maps) == len(backbone.channels)
    assert list(backbone.strides) == sorted(backbone.strides)
    assert backbone.weights_report is None
    for found, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert found.shape == (2, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("name", ["segnet_nano", "resnet_nano", "resnet_nano_os16"])
def test_odd_image_size_is_named(name):
    with torch.device("meta"):
        backbone = BACKBONES[name].build()
        with pytest.raises(SpecError, match=r"data.size: .*100x96 pixels.*multiples of 32"):
            backbone(torch.empty(1, 3, 100, 96))


@pytest.mark.parametrize("name", ["hrnet_nano", "segnet_nano", "resnet_nano", "resnet_nano_os16"])
def test_convolutional_networks_do_not_depend_on_the_size(name):
    def state(**values):
        torch.manual_seed(0)
        return BACKBONES[name].build(**values).state_dict()

    plain, sized = state(), state(size=(64, 96))
    assert all(torch.equal(sized[key], value) for key, value in plain.items())


def test_unknown_backbone_gets_a_hint():
    with pytest.raises(SpecError, match="Did you mean 'hrnet18'"):
        BACKBONES["hrnet-18"]
    with pytest.raises(SpecError, match="Did you mean 'resnet50_os8' or 'resnet50_os16'"):
        BACKBONES["resnet50"]
