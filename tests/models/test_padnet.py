"""PAD-Net on one of a backbone's maps: the last as DenseMTL's baseline, the first on a pyramid."""

import pytest
import torch
from model_vectors import spec

from mtlrepro.models import build_model
from mtlrepro.models.layers import resize

CHANNELS = {"semseg": 14, "depth": 1, "normals": 3}
TASKS = ("semseg", "depth", "normals")


def network(backbone, **values):
    tasks = " ".join(TASKS)
    return build_model(spec("padnet", tasks, tasks, backbone=backbone, maps="last", **values), CHANNELS)


def nano():
    torch.manual_seed(0)
    return network("resnet_nano_os16", width=8)


def image(batch=2):
    return torch.rand(batch, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_published_shapes():
    with torch.device("meta"):
        outputs = network("resnet101_os16").eval()(torch.empty(1, 3, 64, 128))
    assert {t: p.shape for t, p in outputs.stages["initial"].items()} == {t: (1, c, 4, 8) for t, c in CHANNELS.items()}
    assert {t: p.shape for t, p in outputs.final.items()} == {t: (1, c, 64, 128) for t, c in CHANNELS.items()}


def test_published_bottlenecks():
    with torch.device("meta"):
        model = network("resnet101_os16")
    first, second = model.initial_features["depth"]
    assert (first.conv1.in_channels, first.conv2.in_channels, first.conv3.out_channels) == (2048, 64, 256)
    assert first.downsample[0].kernel_size == (1, 1)
    assert second.downsample is None
    assert all(block.downsample is None for block in model.heads["depth"][0])
    assert not list(model.fuse.parameters())


@torch.no_grad()
def test_is_its_definition():
    model = nano().eval()
    found = model(image())
    last = found.features[-1]
    features = {task: blocks(last) for task, blocks in model.initial_features.items()}
    for task in TASKS:
        assert torch.equal(found.stages["initial"][task], model.initial_predictions[task](features[task]))
        refined = features[task]
        for source in TASKS:
            if source != task:
                unit = model.distillation.units[task][source]
                refined = refined + unit.value(features[source]) * unit.mask(features[source]).sigmoid()
        torch.testing.assert_close(found.final[task], resize(model.heads[task](refined), (64, 96)))


def gradients(device):
    model = nano().to(device)
    outputs = model(image().to(device))
    sum(p.square().mean() for p in (*outputs.final.values(), *outputs.stages["initial"].values())).backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


def test_the_first_map_of_a_pyramid_is_taken_as_it_is():
    model = build_model(spec("padnet", "depth", "semseg depth", backbone="fpn_nano", maps="first", width=32), CHANNELS)
    assert not list(model.fuse.parameters())
    # 32 channels like the features themselves: no projection.
    assert all(block.downsample is None for blocks in model.initial_features.values() for block in blocks)
    with torch.no_grad():
        found = model.eval()(image())
        features = {task: blocks(found.features[0]) for task, blocks in model.initial_features.items()}
        expected = {task: model.initial_predictions[task](features[task]) for task in features}
        refined = features["depth"] + model.distillation.units["depth"]["semseg"](features["semseg"])
    assert {t: p.shape for t, p in found.stages["initial"].items()} == {
        "semseg": (2, 14, 16, 24),
        "depth": (2, 1, 16, 24),
    }
    assert all(torch.equal(found.stages["initial"][task], expected[task]) for task in expected)
    torch.testing.assert_close(found.final["depth"], resize(model.heads["depth"](refined), (64, 96)))
