"""What every backbone keeps to: maps as announced, one clear error for an image that does not fit."""

import pytest
import torch

from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.spec import ModelSpec


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


CHANNELS = {"semseg": 3, "depth": 1}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_can_be_decoded(name):
    """By the heads that it brings or by HRNet's, as a network of its own and as a second decoder."""
    model = ModelSpec("mtl", name, tuple(CHANNELS))
    with torch.device("meta"):
        whole = build_model(model, CHANNELS, (64, 96)).eval()
        final = whole(torch.empty(1, 3, 64, 96)).final
        decoder = build_decoder(model, CHANNELS, whole.backbone)
    assert {task: found.shape for task, found in final.items()} == {t: (1, c, 64, 96) for t, c in CHANNELS.items()}
    shapes = {k: v.shape for k, v in whole.state_dict().items() if not k.startswith("backbone.")}
    assert {k: v.shape for k, v in decoder.state_dict().items()} == shapes


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
    with pytest.raises(SpecError, match=r"Did you mean 'resnet50_(fpn|os8)' or 'resnet50_(fpn|os8)'"):
        BACKBONES["resnet50"]
