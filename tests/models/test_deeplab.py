"""DeepLab on dilated ResNets: published sizes, dilation, identity with timm's weights, heads, bad input."""

import dataclasses

import pytest
import timm
import torch
from model_vectors import spec
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.models.deeplab import AtrousPyramid
from mtlrepro.models.layers import resize
from mtlrepro.models.resnet import RESNET_NANO, RESNET_NANO_OS16
from mtlrepro.profiling.cost import model_cost

NYU = {"semseg": 13, "depth": 1, "normals": 3}


def nano(**values):
    torch.manual_seed(0)
    return build_model(spec("deeplab", "semseg depth", backbone="resnet_nano", width=8, **values), NYU)


@pytest.mark.parametrize(("backbone", "convolutions"), [("resnet50_os8", 122.915e9), ("resnet50_os16", 33.898e9)])
def test_published_cost(backbone, convolutions):
    # The published 123.05 G and 33.97 G count batch norms and resizing too.
    cost = model_cost(spec("deeplab", " ".join(NYU), backbone=backbone), NYU, (288, 384))
    assert cost.params == 71_888_721
    assert round(cost.macs, -6) == convolutions


def test_deeper_backbone_delivers_its_stem():
    with torch.device("meta"):
        backbone = BACKBONES["resnet101_os16"].build()
    assert sum(p.numel() for p in backbone.parameters()) == 42_500_160
    assert (backbone.channels, backbone.strides) == ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 16))
    assert [len(stage) for stage in (backbone.layer1, backbone.layer2, backbone.layer3)] == [3, 4, 23]
    assert dilations(backbone.layer3) + dilations(backbone.layer4) == [1] * 23 + [1, 2, 2]
    assert [block.conv2.stride[0] for block in backbone.layer4] == [1, 1, 1]


def test_stem_changes_nothing_else():
    torch.manual_seed(0)
    with_stem = RESNET_NANO_OS16.build().eval()
    torch.manual_seed(0)
    without = dataclasses.replace(RESNET_NANO_OS16, stem_map=False).build().eval()
    assert list(with_stem.state_dict()) == list(without.state_dict())
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    stem, *maps = with_stem(image)
    assert torch.equal(stem, with_stem.bn1(with_stem.conv1(image)).relu())
    assert all(torch.equal(a, b) for a, b in zip(maps, without(image), strict=True))


def dilations(stage):
    return [block.conv2.dilation[0] for block in stage]


@pytest.mark.parametrize(
    ("name", "third", "fourth"), [("resnet50_os8", [1] + [2] * 5, [2, 4, 4]), ("resnet50_os16", [1] * 6, [1, 2, 2])]
)
def test_first_block_of_a_dilated_stage_has_half_the_dilation(name, third, fourth):
    with torch.device("meta"):
        backbone = BACKBONES[name].build()
    assert dilations(backbone.layer1) + dilations(backbone.layer2) == [1] * 7
    assert (dilations(backbone.layer3), dilations(backbone.layer4)) == (third, fourth)
    assert sum(p.numel() for p in backbone.parameters()) == 23_508_032
    assert backbone.channels == (256, 512, 1024, 2048)


@pytest.mark.parametrize(
    ("config", "first", "stride"), [(RESNET_NANO, 1, 8), (RESNET_NANO_OS16, 0, 16)], ids=["os8", "os16 with stem"]
)
def test_equals_timms_features(config, first, stride):
    ours = config.build().eval()
    theirs = timm.create_model(
        "resnet101", features_only=True, out_indices=range(first, 5), output_stride=stride, pretrained=False,
        layers=config.blocks, channels=config.widths,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for a, b in zip(ours(image), theirs(image), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "published"), [("resnet50_os8", "resnet50.tv_in1k"), ("resnet101_os16", "resnet101.tv_in1k")]
)
def test_pinned_weights_fit(name, published):
    (tag,) = BACKBONES[name].weights
    assert tag == published
    with torch.device("meta"):
        ours = BACKBONES[name].build().state_dict()
        theirs = timm.create_model(tag, pretrained=False).state_dict()
    classifier = {"fc.weight", "fc.bias"}
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items() if k not in classifier}


def test_another_network_is_refused():
    with torch.device("meta"), pytest.raises(SpecError, match=r"parameters, expected 40,256"):
        dataclasses.replace(RESNET_NANO, blocks=(1, 1, 2, 1)).build()


def test_other_inputs_pass_the_guard():
    with torch.device("meta"):
        assert RESNET_NANO.build(inputs=64)(torch.empty(1, 64, 32, 32))[-1].shape == (1, 96, 4, 4)


def test_predictions_are_resized_with_aligned_corners():
    model = nano().eval()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = model(image)
        coarse = model.heads["depth"](outputs.features[-1])
    assert coarse.shape == (1, 1, 8, 12)
    # Every 9th of 64 rows falls on one of 8 coarse rows; with half-pixel centres only the first and the last would.
    torch.testing.assert_close(outputs.final["depth"][..., ::9, ::95], coarse[..., ::11])


def test_half_pixel_centres_on_request():
    aligned, centred = nano().eval(), nano(aligned=False).eval()
    assert all(torch.equal(a, b) for a, b in zip(aligned.parameters(), centred.parameters(), strict=True))
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = centred(image)
        coarse = centred.heads["depth"](outputs.features[-1])
        assert torch.equal(outputs.final["depth"], resize(coarse, (64, 96)))
        assert not torch.allclose(outputs.final["depth"], aligned(image).final["depth"])


def test_rates_of_the_pyramid():
    pyramid = AtrousPyramid(6, 4, rates=(6, 12, 18))
    assert [(b[0].dilation[0], b[0].padding[0]) for b in pyramid.branches] == [(1, 0), (6, 6), (12, 12), (18, 18)]
    assert list(pyramid.state_dict()) == list(AtrousPyramid(6, 4).state_dict())
    assert pyramid.project[0][0].in_channels == AtrousPyramid(6, 4, rates=(6, 12)).project[0][0].in_channels + 4


def test_pyramid_is_its_definition():
    torch.manual_seed(0)
    pyramid = AtrousPyramid(6, 4).double().eval()
    maps = torch.rand(2, 6, 40, 5, dtype=torch.float64)
    found = pyramid(maps)
    assert [b[0].kernel_size[0] for b in pyramid.branches] == [1, 3, 3, 3]
    assert [b[0].dilation[0] for b in pyramid.branches] == [1, 12, 24, 36]
    assert [m.p for m in pyramid.modules() if isinstance(m, nn.Dropout)] == [0.5]
    # One row of the dilated branch of rate 12 by hand: taps 12 rows above and below, zeros beside the narrow map.
    conv, norm, _ = pyramid.branches[1]
    by_hand = sum(torch.einsum("oi,biw->bow", conv.weight[:, :, k, 1], maps[:, :, 20 + 12 * (k - 1)]) for k in range(3))
    expected = (by_hand / (1 + norm.eps) ** 0.5).relu()
    torch.testing.assert_close(pyramid.branches[1](maps)[:, :, 20], expected)
    # The mean of the image reaches every place alike.
    mean = pyramid.pooled(maps.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 40, 5)
    joined = torch.cat([*[branch(maps) for branch in pyramid.branches], mean], dim=1)
    assert torch.equal(found, pyramid.project(joined))


def test_heads_share_nothing_but_the_backbone():
    model = nano().train()
    outputs = model(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    outputs.final["depth"].mean().backward()
    assert all(p.grad is None for p in model.heads["semseg"].parameters())
    assert all(p.grad is not None for p in model.heads["depth"].parameters())
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_one_image_cannot_be_trained_on():
    model = nano()
    image = torch.zeros(1, 3, 32, 32)
    with pytest.raises(SpecError, match=r"recipe.batch: .*at least two images"):
        model.train()(image)
    assert model.eval()(image).final["semseg"].shape == (1, 13, 32, 32)


def gradients(device):
    model = nano().to(device)
    torch.manual_seed(5)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).to(device)
    sum(p.square().mean() for p in model(image).final.values()).backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)
