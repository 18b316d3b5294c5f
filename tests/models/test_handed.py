"""A decoder on handed maps: the network that a spec describes, but for the encoder."""

import pytest
import torch
from model_vectors import spec

from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model

CHANNELS = {"semseg": 5, "depth": 1, "normals": 3, "edges": 1}
MAIN = "semseg depth"
NARROW = (4, 8, 8, 8, 12)
SPECS = [
    spec("mtl", MAIN),
    spec("padnet", MAIN, MAIN, width=32),
    spec("mti_net", MAIN, "semseg depth edges"),
    spec("mtl", MAIN, backbone="fpn_nano"),
    spec("mti_net", MAIN, MAIN, backbone="fpn_nano"),
    spec("deeplab", MAIN, backbone="resnet_nano", width=16),
    spec("three_ways", MAIN, backbone="resnet_nano_os16", widths=NARROW),
    spec("dense_mtl", MAIN, backbone="resnet_nano_os16", widths=NARROW),
    spec("invpt", MAIN, backbone="vit_nano", width=12, prediction_width=4),
    spec("atrc", "semseg depth normals edges"),
]
SIZE = (64, 96)


@pytest.mark.parametrize("model_spec", SPECS, ids=lambda s: s.arch)
def test_it_is_the_network_without_its_encoder(model_spec):
    torch.manual_seed(0)
    model = build_model(model_spec, CHANNELS, SIZE).eval()
    decoder = build_decoder(model_spec, CHANNELS, model.backbone).eval()
    assert not list(decoder.backbone.state_dict())
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("backbone.")}
    assert any(not torch.equal(value, state[name]) for name, value in decoder.state_dict().items()), "drawn anew"
    decoder.load_state_dict(state)
    image = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        expected = model(image)
        decoder.backbone.maps = expected.features
        found = decoder(image)
    assert all(torch.equal(found.final[task], p) for task, p in expected.final.items())
    assert found.stages.keys() == expected.stages.keys()
    assert all(a is b for a, b in zip(found.features, expected.features, strict=True))


def test_gradients_reach_the_maps():
    model_spec = SPECS[0]
    model = build_model(model_spec, CHANNELS)
    decoder = build_decoder(model_spec, CHANNELS, model.backbone)
    image = torch.rand(2, 3, *SIZE)
    decoder.backbone.maps = model.backbone(image)
    decoder(image).final["depth"].square().mean().backward()
    assert model.backbone.conv1.weight.grad.any()
    assert model.heads["depth"].predict.weight.grad is None


def test_weights_are_not_asked_for():
    model = build_model(spec("stl", "depth"), CHANNELS)
    decoder = build_decoder(spec("stl", "depth", backbone="hrnet48"), CHANNELS, model.backbone)
    assert decoder.backbone.channels == model.backbone.channels
    assert decoder.backbone.weights_report is None


def test_an_encoder_that_gives_more_than_maps_cannot_be_shared():
    model_spec = spec("segnet", MAIN, backbone="segnet_nano")
    model = build_model(model_spec, CHANNELS)
    with pytest.raises(SpecError, match=r"model.arch: a second decoder of architecture segnet .* more than maps"):
        build_decoder(model_spec, CHANNELS, model.backbone)


def test_bad_options_are_named_as_ever():
    backbone = build_model(SPECS[0], CHANNELS).backbone
    with pytest.raises(SpecError, match=r"scales: cannot keep scales"):
        build_decoder(spec("mti_net", MAIN, MAIN, scales=9), CHANNELS, backbone)
    with pytest.raises(SpecError, match=r"unknown option of architecture mtl 'width'"):
        build_decoder(spec("mtl", MAIN, width=9), CHANNELS, backbone)
