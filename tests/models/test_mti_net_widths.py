"""MTI-Net whose task features are not as wide as the backbone's maps: on pyramids, and by its option."""

import pytest
import torch
from model_vectors import NYUD, image, spec
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.layers import resize

MAIN, ALL = "semseg depth", "semseg normals edges depth"


def meta(backbone="resnet18_fpn", **values):
    with torch.device("meta"):
        return build_model(spec("mti_net", MAIN, ALL, backbone=backbone, **values), NYUD)


def head_widths(model):
    """Per scale: channels that the first and that the last block of a task's initial head reads, and its result's."""
    found = []
    for heads in model.initial.values():
        first, last = heads.features["normals"]
        found.append((first.conv1.in_channels, last.conv1.in_channels, heads.predictions["normals"].in_channels))
    return found


def test_widths_on_a_pyramid():
    model = meta()
    assert head_widths(model) == [(256 + 112, 64, 64), (256 + 160, 112, 112), (256 + 192, 160, 160), (256, 192, 192)]
    assert all(heads.features["depth"][0].downsample is not None for heads in model.initial.values())
    assert all(heads.features["depth"][1].downsample is None for heads in model.initial.values())
    assert {s: m.reduce.conv1.out_channels for s, m in model.fpm.items()} == {"1": 112, "2": 160, "3": 192}
    units = {s: m.units["depth"]["edges"].mask for s, m in model.distillation.items()}
    assert {s: (m.in_channels, m.out_channels) for s, m in units.items()} == {
        "0": (64, 64), "1": (112, 112), "2": (160, 160), "3": (192, 192)
    }  # fmt: skip
    first = [level[0][0].in_channels for level in model.heads["semseg"].levels]
    assert first == [64, 112, 160, 192]


@pytest.mark.parametrize("backbone", ["resnet18_fpn", "hrnet_nano"])
def test_widths_by_option(backbone):
    model = meta(backbone, widths=(32, 48, 16, 24))
    maps = model.backbone.channels
    assert [w[0] for w in head_widths(model)] == [maps[0] + 48, maps[1] + 16, maps[2] + 24, maps[3]]
    assert [w[1:] for w in head_widths(model)] == [(32, 32), (48, 48), (16, 16), (24, 24)]


@pytest.mark.parametrize(("backbone", "usual"), [("fpn_nano", "task_widths"), ("hrnet_nano", "channels")])
def test_the_backbones_widths_are_the_default(backbone, usual):
    def state(**values):
        torch.manual_seed(0)
        return build_model(spec("mti_net", MAIN, ALL, backbone=backbone, **values), NYUD).state_dict()

    widths = getattr(meta(backbone).backbone, usual)
    default, given = state(), state(widths=widths)
    assert default.keys() == given.keys()
    assert all(torch.equal(t, given[name]) for name, t in default.items())


@pytest.mark.parametrize("values", [{"scales": (0, 2, 3)}, {"scales": (0, 2, 3), "widths": (8, 24, 32)}])
def test_a_skipped_scale_takes_its_width_along(values):
    assert head_widths(meta("fpn_nano", **values)) == [(32 + 24, 8, 8), (32 + 32, 24, 24), (32, 32, 32)]


def test_without_propagation_heads_see_the_backbone_alone():
    assert head_widths(meta(fpm=False)) == [(256, c, c) for c in (64, 112, 160, 192)]


@torch.no_grad()
def test_is_its_definition_on_a_pyramid():
    """From the coarsest scale: heads, propagation; then distillation scale by scale and the head over all scales."""
    torch.manual_seed(1)
    model = build_model(spec("mti_net", MAIN, ALL, backbone="fpn_nano"), NYUD).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    found, maps, coarser, distilled = model(image()), model.backbone(image()), {}, {}
    for scale in "3210":
        heads, features = model.initial[scale], {}
        for task, blocks in heads.features.items():
            below = [resize(coarser[task], maps[int(scale)].shape[-2:])] if coarser else []
            features[task] = blocks(torch.cat([maps[int(scale)], *below], dim=1))
            assert torch.equal(found.stages[f"scale_{scale}"][task], heads.predictions[task](features[task]))
        distilled[scale] = model.distillation[scale](features)
        coarser = model.fpm[scale](features) if scale != "0" else {}
    for task, head in model.heads.items():
        expected = resize(head([distilled[scale][task] for scale in "0123"]), image().shape[-2:])
        assert torch.equal(found.final[task], expected)


BAD = [(64,), (64,) * 3, (64,) * 5, (64, 64, 0, 64), (64, 64, -8, 64), "wide", 64, (8.0,) * 4]


@pytest.mark.parametrize("widths", BAD)
def test_bad_widths_are_named(widths):
    with pytest.raises(SpecError, match=r"widths: cannot build features of widths .*Give 4 positive integers"):
        meta(widths=widths)


def test_a_width_a_kept_scale():
    with pytest.raises(SpecError, match=r"widths: .*Give 2 positive integers"):
        meta(scales=2, widths=(64,) * 4)
