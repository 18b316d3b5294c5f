"""MTPSL's mapping networks: published sizes, pairs' columns, FiLM against its formula one sample at a time."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jtr_vectors import jtr_weights, uniform
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.errors import SpecError
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.models.mapping import ENCODERS, MappingNet
from mtlrepro.models.norms import FiLMNorm
from mtlrepro.models.resnet import RESNET_NANO
from mtlrepro.models.segnet import SEGNET_NANO

NYU = {"semseg": 13, "depth": 1, "normals": 3}
CITYSCAPES = {"semseg": 7, "depth": 1}
TASKONOMY = {"semseg": 18, "depth": 1, "normals": 3, "occlusion": 1, "reshading": 1, "keypoints": 1, "texture": 1}
NANO = ("segnet_nano", "resnet_nano")


def macs(net, task, channels, size):
    maps = torch.empty(1, channels, *size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(maps, task, [0])
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("channels", "size", "params", "film", "inputs", "giga"),
    [
        (NYU, (288, 384), 14_819_328, 50_688, 10_368, {"semseg": 38.54, "depth": 37.77, "normals": 37.90}),
        (CITYSCAPES, (128, 256), 14_780_160, 16_896, 4_992, {"semseg": 11.31, "depth": 11.19}),
        (TASKONOMY, (256, 256), 15_129_408, 354_816, 16_320, {"semseg": 23.03, "depth": 22.39, "normals": 22.46}),
    ],
    ids=["nyu", "cityscapes", "taskonomy"],
)
def test_published_cost(channels, size, params, film, inputs, giga):
    with torch.device("meta"):
        net = MappingNet(channels)
    assert sum(p.numel() for p in net.parameters()) == params
    assert sum(p.numel() for p in net.film_parameters()) == film
    assert sum(p.numel() for p in net.inputs.parameters()) == inputs
    for task, expected in giga.items():
        assert round(macs(net, task, channels[task], size) / 1e9, 2) == expected


@pytest.mark.parametrize(("name", "shape"), [("segnet", (512, 9, 12)), ("resnet50_os8", (2048, 36, 48))])
def test_result_has_the_shape_of_the_models_bottleneck(name, shape):
    with torch.device("meta"):
        net, backbone = MappingNet(NYU, ENCODERS[name]), BACKBONES[name].build()
        mapped = net(torch.empty(2, 3, 288, 384), "normals", [0, 5])
        bottleneck = backbone(torch.empty(2, 3, 288, 384))[-1]
    assert mapped.shape == bottleneck.shape == (2, *shape)
    assert net.channels == shape[0]


def test_encoders_are_backbones():
    assert all(config is BACKBONES[name] for name, config in ENCODERS.items())


@pytest.mark.parametrize(("name", "layers"), [("segnet", 13), ("resnet50_os8", 53)])
def test_film_follows_every_convolution_of_the_shared_encoder(name, layers):
    with torch.device("meta"):
        net = MappingNet(NYU, ENCODERS[name])
    assert sum(isinstance(m, FiLMNorm) for m in net.encoder.modules()) == layers
    assert sum(isinstance(m, nn.Conv2d) for m in net.encoder.modules()) == layers
    assert not any(isinstance(m, FiLMNorm) for m in net.inputs.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert len(list(net.film_parameters())) == 2 * layers
    names = {id(p): n for n, p in net.named_parameters()}
    assert {names[id(p)].rsplit(".")[-1] for p in net.film_parameters()} == {"gamma", "beta"}


def test_columns_of_pairs():
    with torch.device("meta"):
        two, three, seven = (MappingNet(c, SEGNET_NANO) for c in (CITYSCAPES, NYU, TASKONOMY))

    def columns(net):
        return [net.column(s, t) for s in net.tasks for t in net.tasks if s != t]

    assert columns(two) == [0, 1]
    assert columns(three) == [0, 1, 2, 3, 4, 5]
    assert columns(seven) == list(range(42))
    assert (three.column("semseg", "normals"), three.column("normals", "depth")) == (1, 5)
    assert seven.column("depth", "normals") == 7


def film_net(name="segnet_nano"):
    """A double-precision network whose norms and FiLM layers are not at their start values."""
    torch.manual_seed(0)
    net = MappingNet(NYU, ENCODERS[name]).double()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, FiLMNorm | nn.InstanceNorm2d):
                for parameter in layer.parameters():
                    parameter.add_(torch.rand_like(parameter) - 0.5)
    return net


class OnePair(nn.Module):
    """Batch norm on one sample, then the modulation of one pair: the definition."""

    def __init__(self, layer, column):
        super().__init__()
        self.norm = nn.BatchNorm2d(len(layer.weight), dtype=torch.float64)
        self.norm.weight, self.norm.bias = layer.weight, layer.bias
        self.gamma, self.beta = layer.gamma[:, column, None, None], layer.beta[:, column, None, None]

    def forward(self, maps):
        return self.gamma * self.norm(maps) + self.beta


def one_pair(net, column):
    single = copy.deepcopy(net)
    for parent in list(single.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FiLMNorm):
                setattr(parent, name, OnePair(child, column))
            elif isinstance(child, nn.InstanceNorm2d):
                norm = nn.BatchNorm2d(child.num_features, dtype=torch.float64)
                norm.load_state_dict(child.state_dict(), strict=False)
                setattr(parent, name, norm)
    return single.train()


@pytest.mark.parametrize("name", NANO)
@pytest.mark.parametrize("task", NYU)
def test_every_sample_goes_through_the_column_of_its_own_pair(name, task):
    net, columns = film_net(name), [4, 0, 4, 3]
    maps = uniform(6, 4, NYU[task], 64, 32)
    with torch.no_grad():
        found = net(maps, task, columns)
        for i, column in enumerate(columns):
            expected = one_pair(net, column)(maps[i : i + 1], task, [0])
            torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(net(maps[:1], task, [1]), net(maps[:1], task, [2]))


@given(seed=st.integers(0, 9), batch=st.integers(1, 3), height=st.integers(2, 4), columns=st.integers(1, 6))
def test_film_norm_is_its_formula(seed, batch, height, columns):
    generator = torch.Generator().manual_seed(seed)
    layer = FiLMNorm(3, columns).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    maps = torch.rand(batch, 3, height, 2, dtype=torch.float64, generator=generator)
    layer.selected = torch.randint(columns, (batch,), generator=generator)
    found = layer(maps)
    for b in range(batch):
        for c in range(3):
            x, p = maps[b, c], layer.selected[b]
            normal = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() * layer.weight[c] + layer.bias[c]
            torch.testing.assert_close(found[b, c], layer.gamma[c, p] * normal + layer.beta[c, p])


def test_columns_are_forgotten_after_a_pass():
    net = film_net()
    with pytest.raises(SpecError):
        net(torch.zeros(1, 1, 40, 32, dtype=torch.float64), "depth", [0])
    net(torch.rand(1, 1, 32, 32, dtype=torch.float64), "depth", [0])
    with pytest.raises(AttributeError, match="selected"):
        net.encoder(torch.zeros(1, net.inputs["depth"][0].out_channels, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize("name", NANO)
def test_gradients(name):
    net, maps = film_net(name), uniform(7, 2, 1, 64, 64).requires_grad_()
    net(maps, "depth", [1, 3]).square().mean().backward()
    assert maps.grad.any()
    assert all(p.grad is None for task in ("semseg", "normals") for p in net.inputs[task].parameters())
    for gradient in (p.grad for p in net.film_parameters()):
        assert gradient[:, [1, 3]].any()
        assert not gradient[:, [0, 2, 4, 5]].any()  # columns that no sample selected


def test_start_values_leave_the_plain_encoder():
    # Gamma 1 and beta 0: whatever the pair, the result is the same.
    torch.manual_seed(0)
    net = MappingNet(NYU, SEGNET_NANO)
    maps = torch.rand(6, 3, 32, 64)[:1].expand(6, -1, -1, -1)
    found = net(maps, "normals", range(6))
    assert torch.equal(found, found[:1].expand_as(found))


def test_initialisation_of_resnets_is_segnets():
    torch.manual_seed(0)
    net = MappingNet(NYU, RESNET_NANO)
    weight = net.encoder.conv1.weight
    assert weight.std().item() == pytest.approx((2 / (128 * 49)) ** 0.5, rel=0.02)
    assert all(bool((m.weight == 1).all()) for m in net.encoder.modules() if isinstance(m, FiLMNorm))


def test_conformance_of_the_filled_network():
    # The public implementation, one sample at a time with batch norm in training mode.
    net = jtr_weights(MappingNet(NYU))
    with torch.no_grad():
        found = net(uniform(2, 2, 13, 64, 96), "semseg", [0, 4])
    assert found.shape == (2, 512, 2, 3)
    assert found[0].flatten()[:3].tolist() == pytest.approx([0.8679173, 0.4035271, 0.0], rel=1e-6)
    assert found[1].flatten()[:3].tolist() == pytest.approx([0.4114312, 0.6902626, 0.7811977], rel=1e-6)


def gradients(device):
    net = film_net().float().to(device)
    net(uniform(3, 2, 3, 64, 64).float().to(device), "normals", [2, 3]).square().mean().backward()
    return [p.grad for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: MappingNet({"depth": 1}), "model.main: there is no pair of tasks"),
        (lambda net: net.column("depth", "edges"), "unknown task 'edges'"),
        (lambda net: net.column("depth", "depth"), "cannot be mapped to itself"),
        (lambda net: net(torch.zeros(1, 1, 32, 32), "detph", [0]), "unknown task 'detph'. Did you mean 'depth'"),
        (lambda net: net(torch.zeros(2, 1, 32, 32), "depth", [0]), r"columns: 2 maps cannot have the pairs \[0\]"),
        (lambda net: net(torch.zeros(1, 1, 32, 32), "depth", [6]), "one of the columns 0 to 5"),
        (lambda net: net(torch.zeros(1, 1, 32, 32), "depth", [-1]), "one of the columns 0 to 5"),
    ],
)
def test_bad_input_is_named(call, message):
    with torch.device("meta"):
        net = MappingNet(NYU, SEGNET_NANO)
        with pytest.raises(SpecError, match=message):
            call(net)
