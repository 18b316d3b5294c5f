"""Coherence fusion: vectors of the public implementation, published cost, attention in few rows at a time, branches."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream, assert_sums
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.errors import SpecError
from mtlrepro.models import attention
from mtlrepro.models.cbam import CBAM
from mtlrepro.models.coherence import CoherenceFusion, attend, branch_distance

PLACES = st.tuples(st.integers(1, 5), st.integers(1, 5))


def test_vectors():
    fusion, stream = CoherenceFusion(256, 2), Stream(14, 0.02)
    for gate in fusion.gates:
        stream.fill(*gate.parameters())
    stream.fill(*fusion.join.parameters())
    for branch in (fusion.value, fusion.query, fusion.key, fusion.result):
        assert isinstance(branch[0], CBAM)
        stream.fill(*branch[0].channel.parameters(), branch[0].place[0].weight)
    main, others = stream.normal(2, 256, 3, 4), stream.normal(2, 512, 3, 4)
    found, (value, joined) = fusion.eval()(main, others.split(256, dim=1))
    assert_sums(found, 3.575754, 101.009880, 2.559208, [0.017754, 0.012684, 0.015701], -0.014264)
    assert value.min() < 0 <= joined.min()
    assert (value.shape, joined.shape) == ((2, 256, 3, 4), (2, 512, 3, 4))
    found, _ = fusion.train()(main, others.split(256, dim=1))
    assert_sums(found, 0, 4468.864627, 6143.207705, [0.004544, -1.220536, -2.090081], 0.263316)


def test_published_cost():
    with torch.device("meta"):
        fusion, maps = CoherenceFusion(256, 2).eval(), torch.empty(1, 256, 120, 160)
    assert sum(p.numel() for p in fusion.parameters()) == 481_264
    for gradients in (True, False):  # with gradients, a function of its own makes the products
        with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
            fusion(maps, [maps, maps])
        counted = counter.get_flop_counts()["Global"]
        assert counted[torch.ops.aten.bmm] == 2 * 19_200**2 * (512 + 256)  # 283.116 G multiply-accumulates


@settings(max_examples=12)
@given(count=st.integers(1, 4), size=PLACES, seed=st.integers(0, 99))
def test_any_number_of_other_tasks(count, size, seed):
    torch.manual_seed(seed)
    fusion = CoherenceFusion(16, count)
    main, *others = (torch.randn(2, 16, *size, requires_grad=True) for _ in range(count + 1))
    found, (value, joined) = fusion(main, others)
    assert found.shape == value.shape == main.shape
    assert joined.shape == (2, count * 16, *size)
    gradients = torch.autograd.grad(joined.sum() + value.sum() + found.square().sum(), [main, *others])
    assert all(g.isfinite().all() for g in gradients)


def test_other_tasks_have_gates_of_their_own():
    fusion = CoherenceFusion(4, 2).double()
    nn.init.dirac_(fusion.join[0].weight)
    nn.init.zeros_(fusion.join[0].bias)
    nn.init.zeros_(fusion.gates[1][0].weight)
    nn.init.constant_(fusion.gates[1][0].bias, math.log(3))
    main, first, second = torch.randn(3, 2, 4, 3, 5, dtype=torch.float64)
    _, (_, joined) = fusion(main, [first, second])
    torch.testing.assert_close(joined[:, 4:], 0.75 * second.relu())
    gate = torch.einsum("oi,bihw->bohw", fusion.gates[0][0].weight[..., 0, 0], first)
    gate = (gate + fusion.gates[0][0].bias[:, None, None]).sigmoid()
    torch.testing.assert_close(joined[:, :4], (gate * first).relu())


def test_attention_is_of_the_others_and_values_of_the_main_task():
    torch.manual_seed(0)
    fusion = CoherenceFusion(8, 2).double().eval()
    fusion.result = nn.Identity()
    main, *others = torch.randn(3, 2, 8, 3, 4, dtype=torch.float64)
    found, (value, joined) = fusion(main, others)
    query, key, values = (maps.flatten(2) for maps in (fusion.query(joined), fusion.key(joined), value))
    for b in range(2):
        for p in range(12):
            weights = torch.stack([(query[b, :, p] @ key[b, :, q]).exp() for q in range(12)])
            expected = (weights * values[b]).sum(1) / weights.sum()
            torch.testing.assert_close(found[b, :, p // 4, p % 4], expected)


@pytest.mark.parametrize("others", [0, -1])
def test_no_other_task(others):
    with pytest.raises(SpecError, match="has nothing to be coherent with"):
        CoherenceFusion(8, others)


def draw(seed, shape, dtype=torch.float32, device="cpu"):
    batch, width, channels, *size = shape
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(batch, c, *size, dtype=dtype, generator=generator) for c in (width, width, channels)]
    upstream = torch.randn(batch, channels, *size, dtype=dtype, generator=generator)
    # Scores of unit variance, whatever the width.
    scaled = [maps[0] / width**0.5, *maps[1:]]
    return [m.to(device).requires_grad_() for m in scaled], upstream.to(device)


def dense(query, key, value):
    scores = query.flatten(2).mT @ key.flatten(2)
    return (value.flatten(2) @ scores.softmax(dim=2).mT).unflatten(2, query.shape[2:])


def both_ways(form, inputs, upstream):
    result = form(*inputs)
    return [result.detach(), *torch.autograd.grad(result, inputs, upstream)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@settings(max_examples=30)
@given(
    shape=st.tuples(*[st.integers(1, n) for n in (3, 40, 9, 6, 7)]), scores=st.integers(1, 6000),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_rows_at_a_time_are_dense(dtype, tolerance, shape, scores, seed):
    inputs, upstream = draw(seed, shape, dtype)
    expected = both_ways(dense, inputs, upstream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attention.SCORES, "cpu", scores)
        found = both_ways(attend, inputs, upstream)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def kept(inputs):
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        attend(*inputs)
    return max(sizes)


def test_scores_are_kept_where_they_are_few(monkeypatch):
    inputs, _ = draw(0, (2, 4, 4, 16, 16))
    monkeypatch.setitem(attention.SCORES, "cpu", 2 * 256**2)
    assert kept(inputs) == 2 * 256**2
    monkeypatch.setitem(attention.SCORES, "cpu", 2 * 256**2 - 1)
    assert kept(inputs) == 2 * 4 * 256


@settings(max_examples=20)
@given(query=PLACES, keys=PLACES, batch=st.integers(1, 2), scores=st.integers(1, 400), seed=st.integers(0, 99))
def test_every_place_is_a_mean_of_the_values(query, keys, batch, scores, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, 3, *query), (batch, 3, *keys), (batch, 2, *keys)
    q, k, v = (2 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    order = torch.randperm(query[0] * query[1], generator=generator)
    other = torch.randperm(keys[0] * keys[1], generator=generator)

    def moved(maps, order):
        return maps.flatten(2)[..., order].view_as(maps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attention.SCORES, "cpu", scores)
        found = attend(q, k, v)
        torch.testing.assert_close(attend(moved(q, order), k, v), moved(found, order))
        torch.testing.assert_close(attend(q, moved(k, other), moved(v, other)), found)
        torch.testing.assert_close(attend(q, k, torch.full_like(v, -1.5)), torch.full_like(found, -1.5))
    low, high = v.amin((2, 3), keepdim=True), v.amax((2, 3), keepdim=True)
    assert ((low - 1e-9 <= found) & (found <= high + 1e-9)).all()


@pytest.mark.parametrize("scores", [10**6, 100], ids=["kept", "rows"])
def test_low_precision_is_not_calculated_in(scores, monkeypatch):
    monkeypatch.setitem(attention.SCORES, "cpu", scores)
    inputs, upstream = draw(1, (2, 32, 8, 4, 5))
    expected = both_ways(attend, inputs, upstream)
    with torch.autocast("cpu", torch.bfloat16):
        result = attend(*inputs)
    for one, other in zip([result, *torch.autograd.grad(result, inputs, upstream)], expected, strict=True):
        assert torch.equal(one, other)
    low = [m.detach().bfloat16().requires_grad_() for m in inputs]
    high = [m.detach().float().requires_grad_() for m in low]
    expected = both_ways(attend, high, upstream.bfloat16().float())
    for one, other in zip(both_ways(attend, low, upstream.bfloat16()), expected, strict=True):
        assert one.dtype == torch.bfloat16
        assert torch.equal(one, other.bfloat16())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_bits(device, monkeypatch):
    monkeypatch.setitem(attention.SCORES, device, 100 * 96)
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        torch.manual_seed(0)
        fusion = CoherenceFusion(16, 2).to(device)
        main, *others = (torch.randn(2, 16, 12, 16, device=device, requires_grad=True) for _ in range(3))
        wanted = [main, *others, *fusion.parameters()]
        first, second = (torch.autograd.grad(fusion(main, others)[0].square().sum(), wanted) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


@settings(max_examples=20)
@given(parts=st.integers(1, 3), channels=st.integers(1, 4), size=PLACES, seed=st.integers(0, 99))
def test_branch_distance_by_brute_force(parts, channels, size, seed):
    torch.manual_seed(seed)
    main = torch.randn(2, channels, *size, dtype=torch.float64)
    others = torch.randn(2, parts * channels, *size, dtype=torch.float64).relu()
    distances, bounds = [], range(0, (parts + 1) * channels, channels)
    for image in range(2):
        for low, high in pairwise(bounds):
            for one, other in zip(main[image].flatten(1).T, others[image, low:high].flatten(1).T, strict=True):
                lengths = (one.norm() * other.norm()).item()
                distances.append(1 - ((one @ other).item() / lengths if lengths else 0))
    assert branch_distance(main, others).item() == pytest.approx(sum(distances) / len(distances), abs=1e-9)


@settings(max_examples=10)
@given(parts=st.integers(1, 3), factors=st.tuples(*[st.floats(0.1, 10)] * 3))
def test_branch_distance_of_directions(parts, factors):
    main = torch.randn(1, 5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = torch.cat([factor * main for factor in factors[:parts]], dim=1)
    assert branch_distance(main, along).item() == pytest.approx(0, abs=1e-9)
    assert branch_distance(main, -along).item() == pytest.approx(2, abs=1e-9)


def test_branch_distance_of_nothing():
    main = torch.randn(2, 4, 2, 3).bfloat16().requires_grad_()
    others = torch.zeros(2, 8, 2, 3).bfloat16().requires_grad_()
    found = branch_distance(main, others)
    assert (found.item(), found.dtype) == (1, torch.float32)
    assert all(g.isfinite().all() for g in torch.autograd.grad(found, [main, others]))
