"""Feature pyramids on ResNets: identity with torchvision's detection backbone, the definition, weights, guards."""

import dataclasses

import pytest
import timm
import torch
from model_vectors import NYUD, randn, spec
from safetensors.torch import save_file
from torch.nn import functional as F
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.models.fpn import FPN_NANO, TASK_WIDTHS
from mtlrepro.models.weights import FOLDER_VARIABLE

ENCODERS = {"resnet18": (64, 128, 256, 512), "resnet50": (256, 512, 1024, 2048)}
every_encoder = pytest.mark.parametrize("name", ENCODERS)


def meta(name):
    with torch.device("meta"):
        return BACKBONES[name].build()


def size(module):
    return sum(p.numel() for p in module.parameters())


def torchvisions(name):
    """Torchvision's own ResNet with a pyramid, without the map of stride 64 that detectors add."""
    return resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=torch.nn.BatchNorm2d, trainable_layers=5)


def at_torchvisions(name):
    """The name that a tensor of ours has there."""
    part, rest = name.split(".", 1)
    return f"body.{rest}" if part == "encoder" else f"fpn.{rest}"


@every_encoder
def test_equals_torchvisions_detection_backbone(name):
    torch.manual_seed(0)
    ours, theirs = BACKBONES[f"{name}_fpn"].build().eval(), torchvisions(name).eval()
    for module in ours.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    theirs.load_state_dict({at_torchvisions(k): v for k, v in ours.state_dict().items()})
    (image,) = randn(1, (1, 3, 64, 96))
    with torch.no_grad():
        found, expected = ours(image), theirs(image)
    assert [tuple(m.shape) for m in found] == [(1, 256, 64 // s, 96 // s) for s in (4, 8, 16, 32)]
    for scale, mine in enumerate(found):
        torch.testing.assert_close(mine, expected[str(scale)], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_is_its_definition():
    """From the coarsest map: 1x1 convolution, plus the coarser sum with every pixel doubled; then a 3x3 convolution."""
    torch.manual_seed(1)
    backbone = FPN_NANO.build().eval()
    weights = dict(backbone.pyramid.named_parameters())
    (image,) = randn(2, (2, 3, 64, 96))
    above, expected = None, []
    for scale, of_stage in reversed(list(enumerate(backbone.encoder(image)))):
        summed = F.conv2d(of_stage, weights[f"inner_blocks.{scale}.0.weight"], weights[f"inner_blocks.{scale}.0.bias"])
        if above is not None:
            summed = summed + above.repeat_interleave(2, -1).repeat_interleave(2, -2)
        above, layer = summed, f"layer_blocks.{scale}.0"
        expected.insert(0, F.conv2d(summed, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=1))
    for mine, by_hand in zip(backbone(image), expected, strict=True):
        torch.testing.assert_close(mine, by_hand)


@every_encoder
def test_published_shape(name):
    backbone = meta(f"{name}_fpn")
    assert backbone.encoder.channels == ENCODERS[name]
    assert (backbone.channels, backbone.strides) == ((256,) * 4, (4, 8, 16, 32))
    encoder, pyramid = {"resnet18": (11_176_512, 2_607_104), "resnet50": (23_508_032, 3_344_384)}[name]
    assert (size(backbone.encoder), size(backbone.pyramid)) == (encoder, pyramid)
    assert all(m.dilation == (1, 1) for m in backbone.modules() if isinstance(m, torch.nn.Conv2d))
    assert backbone.task_widths == TASK_WIDTHS == (64, 112, 160, 192)


@every_encoder
def test_pinned_weights_fit_the_encoder(name):
    (tag,) = BACKBONES[f"{name}_fpn"].weights
    assert tag == f"{name}.tv_in1k"
    with torch.device("meta"):
        theirs = timm.create_model(tag, pretrained=False).state_dict()
    ours = meta(f"{name}_fpn").encoder.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}


def test_weights_go_into_the_encoder_and_leave_the_pyramid(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    model = dataclasses.replace(spec("stl", "depth", backbone="resnet18_fpn"), weights="resnet18.tv_in1k")
    torch.manual_seed(3)
    stored = BACKBONES["resnet18_fpn"].build().encoder.state_dict()
    save_file({**stored, "fc.weight": torch.zeros(1000, 512)}, tmp_path / "resnet18.tv_in1k.safetensors")
    torch.manual_seed(4)
    found = build_model(model, NYUD).backbone
    torch.manual_seed(4)
    fresh = build_model(dataclasses.replace(model, weights=None), NYUD).backbone
    assert all(torch.equal(t, stored[k]) for k, t in found.encoder.state_dict().items())
    assert all(torch.equal(t, fresh.pyramid.state_dict()[k]) for k, t in found.pyramid.state_dict().items())
    assert (found.weights_report.matched, found.weights_report.dropped) == (len(stored), 1)
    assert fresh.weights_report is None


def test_the_pyramid_starts_as_torchvisions():
    torch.manual_seed(5)
    pyramid = FPN_NANO.build().pyramid
    for layer in pyramid.modules():
        if isinstance(layer, torch.nn.Conv2d):
            bound = (3 / layer.weight[0].numel()) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert not layer.bias.any()


def test_sizes_that_do_not_fit_are_named():
    with torch.device("meta"), pytest.raises(SpecError, match=r"data.size: .*64x80.*multiples of 32"):
        FPN_NANO.build()(torch.empty(1, 3, 64, 80))


def test_another_encoder_is_refused():
    encoder = dataclasses.replace(FPN_NANO.encoder, blocks=(1, 1, 2, 1))
    with torch.device("meta"), pytest.raises(SpecError, match=r"parameters, expected 45,216"):
        dataclasses.replace(FPN_NANO, encoder=encoder).build()


def test_heads_are_the_backbones_own():
    with torch.device("meta"):
        model = build_model(spec("mtl", "semseg depth", backbone="fpn_nano"), NYUD)
    assert {type(head).__name__ for head in model.heads.values()} == {"PanopticHead"}
    assert model.heads["semseg"].predict.in_channels == FPN_NANO.head_width
    assert model.heads["semseg"].levels[0][0][1].num_groups == FPN_NANO.head_groups
