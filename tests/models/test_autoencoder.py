"""JTR's auto-encoder: published sizes and vectors, batches against batch norm on one sample at a time."""

import copy

import pytest
import torch
from jtr_vectors import jtr_weights, uniform
from model_vectors import assert_vector
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.errors import SpecError
from mtlrepro.models.autoencoder import AutoEncoder
from mtlrepro.models.norms import replace_norms
from mtlrepro.models.segnet import SEGNET_NANO, WIDTHS


def macs(function):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("channels", "size", "bottleneck", "params", "unused", "full", "latent"),
    [
        (17, (288, 384), 512, 24_989_427, 34, 61.337e9, 34.717e9),
        (17, (288, 384), 256, 19_088_883, 34, 58.789e9, 32.679e9),
        (17, (288, 384), 1024, 43_868_403, 34, 69.491e9, 41.852e9),
        (8, (128, 256), 512, 24_983_640, 16, 17.985e9, 10.117e9),
        (26, (256, 256), 512, 24_995_214, 52, 36.725e9, 20.913e9),
    ],
    ids=["nyu", "bottleneck 256", "bottleneck 1024", "cityscapes", "taskonomy"],
)
def test_published_cost(channels, size, bottleneck, params, unused, full, latent):
    # The public module's count includes a norm over the stack that it never runs.
    with torch.device("meta"):
        net = AutoEncoder(channels, (*WIDTHS[:-1], bottleneck))
        stack = torch.empty(1, channels, *size)
    assert sum(p.numel() for p in net.parameters()) == params - unused
    assert round(macs(lambda: net(stack)), -6) == full
    assert round(macs(lambda: net.latent(stack)), -6) == latent


def test_conformance():
    net = jtr_weights(AutoEncoder(17))
    with torch.no_grad():
        latent, output = net(uniform(1, 1, 17, 64, 96))
    assert_vector(latent, 1.043704, 0.664791, (0.33918, 1.42666, 0.57007, 1.68956), rel=1.5e-5)
    assert latent.max().item() == pytest.approx(4.04894, rel=2e-6)
    assert latent.shape == (1, 512, 2, 3)
    flat = output.flatten()
    assert [flat.mean().item(), flat.std(correction=0).item()] == pytest.approx([0.179565, 0.896917], abs=5.1e-7)
    assert flat[:4].tolist() == pytest.approx((-0.03362, -0.46959, -0.01748, -0.41992), abs=5.1e-6)
    assert output.abs().max().item() == pytest.approx(5.56296, rel=2e-6)


def nano(seed=0):
    """A double-precision auto-encoder whose norms are not at their start values."""
    torch.manual_seed(seed)
    net = AutoEncoder(5, SEGNET_NANO.widths).double()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.InstanceNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
    return net


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_equals_batch_norm_on_one_sample_at_a_time(training):
    ours = nano().train(training)
    theirs = copy.deepcopy(ours).train()
    norms = iter([m for m in ours.modules() if isinstance(m, nn.InstanceNorm2d)])
    for parent in list(theirs.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(parent, name, nn.BatchNorm2d(child.num_features, dtype=torch.float64))
    for layer in (m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)):
        layer.load_state_dict(next(norms).state_dict(), strict=False)
    stack = torch.rand(3, 5, 32, 64, dtype=torch.float64)
    (latent, output) = ours(stack)
    singles = [theirs(stack[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(latent, torch.cat([s[0] for s in singles]), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(output, torch.cat([s[1] for s in singles]), rtol=1e-9, atol=1e-11)
    (a,) = torch.autograd.grad(output.square().sum(), ours.encoder.stages[0][0].weight)
    (b,) = torch.autograd.grad(sum(s[1].square().sum() for s in singles), theirs.encoder.stages[0][0].weight)
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_there_is_no_batch_norm_and_no_running_statistic():
    net = nano()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert list(net.buffers()) == []
    assert {m.eps for m in net.modules() if isinstance(m, nn.InstanceNorm2d)} == {1e-5}


def test_replacing_norms_reaches_every_depth():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    replace_norms(module, lambda channels: nn.Identity(channels))
    assert [type(m).__name__ for m in module.modules()][1:] == ["Identity", "Sequential", "Conv2d", "Identity"]


def test_latent_is_that_of_the_full_pass():
    net, stack = nano(), uniform(3, 2, 5, 64, 32)
    assert torch.equal(net.latent(stack), net(stack)[0])


def test_smallest_image_has_one_latent_place():
    latent, output = nano().train()(uniform(3, 1, 5, 32, 32))
    assert latent.shape == (1, SEGNET_NANO.widths[-1], 1, 1)
    assert output.shape == (1, 5, 32, 32)
    assert latent.isfinite().all()
    assert output.isfinite().all()


def test_gradient_reaches_every_parameter():
    net = nano()
    net(uniform(3, 2, 5, 64, 64))[1].square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    assert [n for n, p in net.named_parameters() if n.endswith("weight") and not p.grad.any()] == []


def test_gradient_of_a_frozen_encoder_reaches_the_input_only():
    net, stack = nano(), uniform(3, 2, 5, 64, 64).requires_grad_()
    frozen = {name: p.detach() for name, p in net.encoder.named_parameters()}
    latent = functional_call(net.encoder, frozen, (stack,))[-1]
    assert torch.equal(latent, net.latent(stack))
    latent.square().mean().backward()
    assert stack.grad.any()
    assert all(p.grad is None for p in net.parameters())


def gradients(device):
    net = nano().float().to(device)
    net(uniform(3, 2, 5, 64, 64).float().to(device))[1].square().mean().backward()
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


def test_bad_sizes_are_named():
    with torch.device("meta"):
        with pytest.raises(SpecError, match=r"data.size: .*48x64 pixels"):
            AutoEncoder(5, SEGNET_NANO.widths)(torch.empty(1, 5, 48, 64))
        with pytest.raises(SpecError, match=r"widths: "):
            AutoEncoder(5, (8, 8))
