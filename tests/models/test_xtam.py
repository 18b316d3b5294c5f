"""Cross-task attention and its block: definitions, exchange among tasks, gradients, bad input."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.xtam import ChannelAttention, ExchangeBlock, SpatialAttention

SD, SDN, SDNE = (tuple("SDNE")[:n] for n in (2, 3, 4))


def brute_force(module, target, e, s):
    """Equations 1 and 2 for one image, place by place, in float64."""
    channels, height, width = target.shape

    def project(block, pixel):
        conv, norm, _ = block
        mixed = conv.weight[:, :, 0, 0] @ pixel
        return torch.relu((mixed - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias)

    places = [(r, c) for r in range(0, height, s) for c in range(0, width, s)]
    sources = [e[:, r : r + s, c : c + s].reshape(channels, -1).max(dim=1).values for r, c in places]
    keys, values = ([project(block, pixel) for pixel in sources] for block in (module.key, module.value))
    result = torch.zeros_like(target)
    for r, c in places:
        query = project(module.query, target[:, r, c])
        weights = torch.stack([(query @ key / channels**0.5).exp() for key in keys])
        gathered = sum(w / weights.sum() * value for w, value in zip(weights, values, strict=True))
        result[:, r : r + s, c : c + s] = (module.alpha[0] * gathered[:, None, None]).expand(-1, s, s)
    return result


@settings(max_examples=25)
@given(
    channels=st.integers(2, 5), factor=st.sampled_from([1, 2, 4]), rows=st.integers(1, 3), columns=st.integers(1, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
@torch.no_grad()
def test_spatial_attention_by_brute_force(channels, factor, rows, columns, seed):
    torch.manual_seed(seed)
    module = SpatialAttention(channels, factor).double()
    module.alpha.normal_()
    shape = (2, channels, factor * rows, factor * columns)
    target, e = torch.randn(shape).double(), torch.randn(shape).double().relu()
    if rows * columns > 1:
        module.train()(target, e)  # statistics that are not the initial ones
    found = module.eval()(target, e)
    for b in range(2):
        torch.testing.assert_close(found[b], brute_force(module, target[b], e[b], factor), rtol=1e-10, atol=1e-12)


def test_channel_attention_is_its_definition():
    attention = ChannelAttention()
    x, y = (m.double() for m in randn(5, (2, 3, 4, 5), (2, 3, 4, 5)))
    assert not attention(x, y).any()
    nn.init.constant_(attention.beta, 0.7)
    weights = (torch.einsum("bchw,bdhw->bcd", x, y) / 20**0.5).softmax(dim=2)
    torch.testing.assert_close(attention(x, y), 0.7 * torch.einsum("bcd,bdhw->bchw", weights, y))


VARIANTS = [(a, s, f) for a in ("spatial", "channel", "both", "none") for s in (True, False) for f in ("add", "concat")]
VARIANTS.remove(("none", False, "add"))
VARIANTS.remove(("none", False, "concat"))


def random_block(tasks, attention="both", self_attention=True, fusion="add", seed=0):
    torch.manual_seed(seed)
    block = ExchangeBlock(tasks, 4, 2, fusion=fusion, attention=attention, self_attention=self_attention).double()
    for name, parameter in block.named_parameters():
        if name.endswith(("alpha", "beta")):
            nn.init.normal_(parameter)
    return block


def features_of(tasks, seed=0):
    return dict(zip(tasks, (m.double() for m in randn(seed, *[(2, 4, 4, 6)] * len(tasks))), strict=True))


@pytest.mark.parametrize("fusion", ["add", "prod", "concat"])
@settings(max_examples=8)
@given(tasks=st.permutations(SDNE), number=st.integers(2, 4))
def test_order_of_tasks_only_permutes(fusion, tasks, number):
    first, second = sorted(tasks[:number]), tasks[:number]
    one, other = random_block(first, fusion=fusion), random_block(second, fusion=fusion, seed=1)
    features = features_of(first)
    for target in first:
        for s, path in one.paths[target].items():
            other.paths[target][s].load_state_dict(path.state_dict())
        state = one.fuse[target].state_dict()
        entering = [[target] * (fusion == "concat") + [s for s in order if s != target] for order in (first, second)]
        parts = dict(zip(entering[0], state["0.weight"].split(4, dim=1), strict=True))
        state["0.weight"] = torch.cat([parts[s] for s in entering[1]], dim=1)
        other.fuse[target].load_state_dict(state)
    found, permuted = one(features), other(features)
    assert list(permuted) == list(second)
    for task in first:
        torch.testing.assert_close(found[task], permuted[task])


def test_updates_are_simultaneous():
    # Each target on its own, in a block whose other outputs nobody computes, gets what it gets among all.
    block, features = random_block(SDN).eval(), features_of(SDN)
    found = block({t: f.clone() for t, f in features.items()})
    for task in SDN:
        directional = [block.paths[task][s](features[task], features[s]) for s in SDN if s != task]
        expected = features[task] + block.fuse[task](torch.cat(directional, dim=1))
        torch.testing.assert_close(found[task], expected)


def test_source_of_no_interest_changes_nothing():
    block, features = random_block(SDN).eval(), features_of(SDN)
    with torch.no_grad():
        for task in SDN:
            weight = block.fuse[task][0].weight
            weight[:, 4 * (1 if task != "N" else 2) :] = 0  # N is the last source of S and of D
    changed = block({**features, "N": features["N"] + 1})
    found = block(features)
    assert torch.equal(found["S"], changed["S"])
    assert torch.equal(found["D"], changed["D"])
    assert not torch.equal(found["N"], changed["N"])


@pytest.mark.parametrize("attention", ["spatial", "channel"])
@pytest.mark.parametrize(("target", "source"), list(permutations(SDN, 2)))
def test_both_tasks_enter_the_cross_task_attention(attention, target, source):
    # Without self-attention and without a residual, features have no other way to the block's output.
    block = random_block(SDN, attention, self_attention=False, fusion="concat")
    place = 1 + [s for s in SDN if s != target].index(source)
    with torch.no_grad():
        for i in {0, 1, 2} - {place}:
            block.fuse[target][0].weight[:, 4 * i : 4 * (i + 1)] = 0
    features = {t: f.requires_grad_() for t, f in features_of(SDN).items()}
    gradients = torch.autograd.grad(block(features)[target].square().sum(), list(features.values()))
    assert {t for t, g in zip(features, gradients, strict=True) if g.any()} == {target, source}


@pytest.mark.parametrize("attention", ["spatial", "channel", "both"])
def test_cross_task_attention_vanishes_at_the_start(attention):
    torch.manual_seed(0)
    path = ExchangeBlock(SD, 4, 2, attention=attention).paths["S"]["D"].double().eval()
    target, source = features_of(SD).values()
    found = path(target, source)
    assert torch.equal(found, path(torch.zeros_like(target), source))  # the target has no other way in
    factors = [p for name, p in path.named_parameters() if name.endswith(("alpha", "beta"))]
    assert len(factors) == 1 + (attention == "both")
    gradients = torch.autograd.grad(found.sum(), factors)
    assert all(g.any() for g in gradients)  # but it learns to let the target in


@pytest.mark.parametrize(("attention", "self_attention", "fusion"), VARIANTS)
def test_variants_run_and_every_parameter_learns(attention, self_attention, fusion):
    block, features = random_block(SDN, attention, self_attention, fusion), features_of(SDN)
    found = block(features)
    assert {t: f.shape for t, f in found.items()} == {t: f.shape for t, f in features.items()}
    sum(f.square().sum() for f in found.values()).backward()
    assert [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("tasks", "channels", "values", "message"),
    [
        (SD, 4, {"fusion": "mult"}, "fusion: unknown fusion 'mult'. .*Known: add, concat, prod"),
        (SD, 4, {"attention": "spacial"}, "attention: unknown attention 'spacial'. Did you mean 'spatial'"),
        (SD, 4, {"attention": "none", "self_attention": False}, "attention: an exchange without any attention"),
        (SD[:1], 4, {}, r"model.main: nothing can be exchanged among tasks \('S',\)\. Name at least two"),
        ((), 4, {}, "model.main: nothing can be exchanged"),
        (SD, 1, {}, r"widths: no block can have features of width 1\. Give even numbers"),
        (SD, 5, {"self_attention": False}, "widths: .* of width 5"),
        (SD, 0, {}, "widths: .* of width 0"),
    ],
)
def test_what_does_not_fit_is_named(tasks, channels, values, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        ExchangeBlock(tasks, channels, 2, **values)


@pytest.mark.parametrize("size", [(6, 8), (8, 6)])
def test_maps_that_the_factor_does_not_divide_are_refused(size):
    with torch.device("meta"):
        block, maps = ExchangeBlock(SD, 4, 4), torch.empty(1, 4, *size)
        with pytest.raises(SpecError, match=rf"data.size: .* {size[0]}x{size[1]} pixels. .*multiples of 4"):
            block({"S": maps, "D": maps})
