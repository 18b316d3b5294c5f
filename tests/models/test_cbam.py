"""Channel and place gates: vectors of the public implementation, the definition, bounds, ties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream, assert_sums
from torch import nn
from torch.nn import functional as F

from mtlrepro.models.cbam import CBAM


def fill(stream, cbam):
    stream.fill(*cbam.channel.parameters(), cbam.place[0].weight)


def random_cbam(channels, seed, **values):
    torch.manual_seed(seed)
    cbam = CBAM(channels, **values)
    nn.init.normal_(cbam.place[0].weight)
    return cbam.double()


def test_vectors():
    cbam, stream = CBAM(32), Stream(11, 0.1)
    fill(stream, cbam)
    maps = stream.normal(2, 32, 4, 5)
    found = cbam.eval()(maps)
    assert_sums(found, 1.632037, 204.190163, 54.095540, [0.118999, 0.165028, 0.233185], 0.054190)
    found = cbam.train()(maps)
    assert_sums(found, 1.388054, 251.544868, 93.153033, [0.137581, 0.122881, 0.174218], 0.081051)
    norm = cbam.place[1]
    assert [norm.running_mean.item(), norm.running_var.item()] == pytest.approx([-0.0042617, 0.9916120], abs=1e-7)


@pytest.mark.parametrize(("channels", "expected"), [(256, 8_564), (512, 33_412)])
def test_published_sizes(channels, expected):
    assert sum(p.numel() for p in CBAM(channels).parameters()) == expected


@settings(max_examples=20)
@given(channels=st.integers(1, 20), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 99))
@torch.no_grad()
def test_definition(channels, h, w, seed):
    cbam = random_cbam(channels, seed, reduction=4).eval()
    assert cbam.channel[0].out_features == max(1, channels // 4)
    maps = torch.randn(2, channels, h, w, dtype=torch.float64)
    means, peaks = F.avg_pool2d(maps, (h, w)).flatten(1), F.max_pool2d(maps, (h, w)).flatten(1)
    scaled = maps * (cbam.channel(means) + cbam.channel(peaks)).sigmoid()[:, :, None, None]
    kernel, expected = cbam.place[0].weight[0], torch.empty_like(maps)
    for row in range(h):
        for column in range(w):
            total = 0.0
            for r in range(max(0, row - 3), min(h, row + 4)):
                for c in range(max(0, column - 3), min(w, column + 4)):
                    seen = torch.stack((scaled[:, :, r, c].amax(1), scaled[:, :, r, c].mean(1)), dim=1)
                    total = total + seen @ kernel[:, r - row + 3, c - column + 3]
            gate = (total / (1 + cbam.place[1].eps) ** 0.5).sigmoid()
            expected[:, :, row, column] = scaled[:, :, row, column] * gate[:, None]
    torch.testing.assert_close(cbam(maps), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=25)
@given(
    train=st.booleans(), factor=st.sampled_from([1e-3, 1.0, 3.0]), h=st.integers(1, 9), w=st.integers(1, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
@torch.no_grad()
def test_gates_shrink_and_keep_the_sign(train, factor, h, w, seed):
    cbam = random_cbam(16, seed).train(train)
    maps = factor * torch.randn(2, 16, h, w, dtype=torch.float64)
    found = cbam(maps)
    assert (found.abs() < maps.abs()).all()
    assert torch.equal(found.sign(), maps.sign())


def test_ties_have_the_gradient_of_max_pooling():
    cbam = random_cbam(6, 0, reduction=2).eval()
    nn.init.uniform_(cbam.channel[0].weight)
    nn.init.constant_(cbam.channel[2].weight, 0.3)  # one gate for all channels, which leaves values of a place tied
    nn.init.zeros_(cbam.channel[2].bias)
    maps = torch.randint(0, 3, (2, 6, 4, 5)).double()  # every maximum is there several times
    maps[:, 1] = 0  # a dead ReLU
    upstream = torch.randn_like(maps)

    def pooled(maps):
        gate = cbam.channel(maps.mean((2, 3))) + cbam.channel(F.max_pool2d(maps, (4, 5)).flatten(1))
        scaled = maps * gate.sigmoid()[:, :, None, None]
        peaks = F.max_pool2d(scaled.movedim(1, 3), (1, 6)).movedim(3, 1)
        return scaled * cbam.place(torch.cat((peaks, scaled.mean(1, keepdim=True)), dim=1)).sigmoid()

    maps.requires_grad_()
    found, expected = (torch.autograd.grad(form(maps), maps, upstream)[0] for form in (cbam, pooled))
    torch.testing.assert_close(found, expected)


@pytest.mark.gpu
def test_same_bits_on_cuda():
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        cbam = random_cbam(32, 0).float().cuda()
        maps = torch.randn(2, 32, 40, 60, device="cuda").relu().requires_grad_()
        first, second = (torch.autograd.grad(cbam(maps).square().sum(), [maps, *cbam.parameters()]) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)
