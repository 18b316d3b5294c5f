"""The patch discriminator: published sizes, spectral normalisation, mirroring, bad input."""

import copy

import pytest
import torch
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.discriminator import Discriminator


def small(inputs=2, widths=(4, 6)):
    torch.manual_seed(0)
    return Discriminator(inputs, widths).double()


def drawn(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("inputs", "parameters"), [(16, 2_778_049), (8, 2_769_857), (1, 2_762_689)])
def test_published_parameters(inputs, parameters):
    net = Discriminator(inputs)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert all(name.endswith(("original", "bias")) for name, _ in net.named_parameters())


def test_one_logit_a_patch_of_a_city_image():
    net = Discriminator(16, (4, 4, 4, 4)).eval()
    assert net(torch.zeros(2, 16, 512, 1024)).shape == (2, 1, 16, 32)


def plain(weights, biases, maps):
    """Convolutions with the weights as they are."""
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        maps = F.conv2d(maps, weight, bias, stride=2, padding=1)
        maps = maps if i + 1 == len(weights) else torch.where(maps > 0, maps, 0.2 * maps)
    return maps


def test_every_training_call_is_one_power_iteration_and_one_division_by_the_singular_value():
    net, maps = small(), drawn(1, 2, 16, 24)
    with torch.no_grad():
        for conv in net.convs:  # far from the singular vectors
            norm = conv.parametrizations.weight[0]
            norm._u.copy_(F.normalize(drawn(len(norm._u), seed=5), dim=0))
            norm._v.copy_(F.normalize(drawn(len(norm._v), seed=6), dim=0))
    for _ in range(2):
        weights = []
        for conv in net.convs:
            norm, raw = conv.parametrizations.weight[0], conv.parametrizations.weight.original.detach()
            u = F.normalize(raw.flatten(1) @ norm._v, dim=0)
            v = F.normalize(raw.flatten(1).T @ u, dim=0)
            weights.append(raw / (u @ raw.flatten(1) @ v))
        biases = [conv.bias for conv in net.convs]
        want = [plain(weights, biases, m) for m in (maps, maps.flip(-1))]
        got = net.train()(maps)
        assert min((got - w).abs().max() for w in want) < 1e-12
        # What was followed in training is what holds in evaluation, where nothing is mirrored.
        assert torch.equal(net.eval()(maps), net(maps))
        torch.testing.assert_close(net(maps), want[0], rtol=0, atol=1e-12)


def test_singular_values_come_to_one():
    net = small()
    for _ in range(300):
        net(drawn(1, 2, 8, 8))
    largest = [torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() for conv in net.convs]
    assert largest == pytest.approx([1.0] * 3, rel=1e-6)


def test_the_whole_input_is_mirrored_or_nothing_by_a_draw_of_the_hosts_generator():
    net, maps = small(), drawn(3, 2, 16, 24)
    with torch.no_grad():
        seen = []
        for seed in range(20):
            torch.manual_seed(seed)
            coin = torch.rand(1).item() < 0.5
            torch.manual_seed(seed)
            known = copy.deepcopy(net)
            got = known(maps)
            known.eval()
            assert torch.equal(got, known(maps.flip(-1) if coin else maps))
            seen.append(coin)
    assert 3 < sum(seen) < 17
    assert not torch.allclose(known(maps), known(maps.flip(-1)))


def test_mirrored_inputs_get_their_own_gradients():
    net = small()
    for seed in range(6):
        torch.manual_seed(seed)
        maps = drawn(2, 2, 16, 24).requires_grad_()
        known = copy.deepcopy(net)
        (got,) = torch.autograd.grad(known(maps).square().sum(), maps)
        known.eval()
        one, other = (known(m) for m in (maps, maps.flip(-1)))
        want = [torch.autograd.grad(o.square().sum(), maps)[0] for o in (one, other)]
        assert min((got - w).abs().max() for w in want) < 1e-12


@pytest.mark.parametrize("widths", [(), (4, 0), (4, 2.5)])
def test_widths_are_whole_numbers_above_0(widths):
    with pytest.raises(SpecError, match=r"objective\.options\.widths"):
        Discriminator(1, widths)


def test_maps_below_a_patch():
    with pytest.raises(SpecError, match=r"\(8, 7\) is below the discriminator's stride of 8"):
        small()(drawn(1, 2, 8, 7))
