"""InvPT's decoder: published sizes, attention by hand, the message between stages, what feeds nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtlrepro.models.up_transformer import CrossTaskAttention, UpTransformer, UpTransformerBlock, widths

TASKS = ("semseg", "depth")


def size_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_widths():
    assert widths(576) == (576, 288, 144)


@pytest.mark.parametrize(
    ("tasks", "stages"), [(4, (4_014_154, 9_974_314, 2_498_842)), (5, (4_020_490, 12_218_122, 3_060_874))]
)
def test_published_parameters(tasks, stages):
    with torch.device("meta"):
        decoder = UpTransformer([str(task) for task in range(tasks)], 576)
    ups = (nn.Module(), *decoder.up)
    assert tuple(size_of(*parts) for parts in zip(decoder.blocks, ups, strict=True)) == stages
    assert [size_of(norm) for norm in (*decoder.norms, decoder.norm)] == [tasks * n for n in (1152, 576, 288, 288)]
    widen = [tasks * (c * 576 + 576) for c in (576, 288, 144)]
    assert [size_of(w) for w in decoder.widen] == widen
    assert size_of(decoder) == sum(stages) + sum(widen) + tasks * (1152 + 576 + 288 + 288)


def test_initialisation():
    torch.manual_seed(0)
    linear = [m for m in UpTransformer(TASKS, 16).modules() if isinstance(m, nn.Linear)]
    assert len(linear) == 3 * 6
    assert not any(m.bias.any() for m in linear)
    drawn = torch.cat([m.weight.flatten() for m in linear])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.03)


def by_hand(attention, grid, passed=None):
    """Update and scores of one image, place by place; `passed` are scores to fuse with, (heads, queries, keys)."""
    reduced = [
        attention.reduce_query[t](maps)[0].flatten(1).T
        for t, maps in zip(TASKS, grid.permute(1, 0, 4, 2, 3), strict=True)
    ]
    keys = [attention.reduce_key(maps)[0].flatten(1).T for maps in grid.permute(1, 0, 4, 2, 3)]
    query, key = attention.query(torch.cat(reduced)), attention.key(torch.cat(keys))
    value, width = attention.value(torch.cat(keys)), grid.shape[-1]
    heads = slice(0, width // 2), slice(width // 2, width)
    scores = torch.stack([query[:, head] @ key[:, head].T / width**0.5 for head in heads])
    if passed is not None:
        weight, bias = attention.fuse.weight[:, :, 0, 0], attention.fuse.bias
        scores = torch.einsum("ij,jqk->iqk", weight, torch.cat((scores, passed))) + bias[:, None, None]
    shares = scores.exp() / scores.exp().sum(dim=2, keepdim=True)
    attended = torch.cat([share @ value[:, head] for share, head in zip(shares, heads, strict=True)], dim=1)
    return attention.project(attended), scores


@pytest.mark.parametrize("told", [False, True])
def test_attention_by_hand(told):
    """Queries and keys of all tasks in one softmax; scores divided by the root of the full width, message fused in."""
    torch.manual_seed(0)
    attention = CrossTaskAttention(TASKS, 6, stage=1).double().eval()
    grid = torch.randn(1, 2, 8, 12, 6, dtype=torch.float64)
    # Of the stage before, the same number of keys; all its queries alike, so that resizing them changes nothing.
    message = torch.randn(1, 2, 2, 1, 1, 12, dtype=torch.float64).expand(-1, -1, -1, 2, 3, -1)
    update, scores = attention(grid, message if told else None)
    passed = message[0, :, :, :1, :1].expand(-1, -1, 4, 6, -1).flatten(1, 3) if told else None
    expected, their_scores = by_hand(attention, grid, passed)
    assert scores.shape == (1, 2, 2, 4, 6, 12)
    torch.testing.assert_close(scores[0].flatten(1, 3), their_scores)
    rough = expected.view(2, 4, 6, 6).permute(0, 3, 1, 2)
    fine = nn.functional.interpolate(rough, size=(8, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(update[0], fine.permute(0, 2, 3, 1))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), batch=st.integers(1, 3), stage=st.integers(0, 2))
def test_sizes_of_a_block(rows, columns, batch, stage):
    """Half as many queries, rounded up; as many keys as windows of the stage, those cut by the border among them."""
    height, width = rows * 2**stage, columns * 2**stage
    with torch.device("meta"):
        grid, message = UpTransformerBlock(TASKS, 8, stage).eval()(torch.empty(batch, 2, height, width, 8), None)
    assert grid.shape == (batch, 2, height, width, 8)
    keys = 2 * ((rows + 1) // 2) * ((columns + 1) // 2)
    assert message.shape == (batch, 2, 2, -(-height // 2), -(-width // 2), keys)


def run(decoder, seed=1, size=(4, 6), width=16):
    generator = torch.Generator().manual_seed(seed)
    (h, w), half, quarter = size, width // 2, width // 4
    features = {task: torch.randn(2, width, h, w, generator=generator, requires_grad=True) for task in decoder.tasks}
    taps = [
        torch.randn(2, c, s * h, s * w, generator=generator, requires_grad=True) for c, s in ((half, 2), (quarter, 4))
    ]
    return features, taps, decoder(features, taps)


def test_all_tasks_and_taps_reach_every_task():
    torch.manual_seed(0)
    decoder = UpTransformer(TASKS, 16)
    features, taps, found = run(decoder)
    assert {task: maps.shape for task, maps in found.items()} == dict.fromkeys(TASKS, (2, 16, 32, 48))
    for maps in found.values():
        assert all(g.any() for g in torch.autograd.grad(maps.sum(), [*features.values(), *taps], retain_graph=True))


def test_layers_that_feed_nothing():
    torch.manual_seed(0)
    decoder = UpTransformer(TASKS, 16)
    sum(maps.square().sum() for maps in run(decoder)[-1].values()).backward()
    silent = {name for name, p in decoder.named_parameters() if p.grad is None}
    unused = ("norm.", "widen.0.", "blocks.0.attention.fuse.")
    assert silent == {name for name, _ in decoder.named_parameters() if name.startswith(unused)}
    assert len(silent) == 2 + 2 * len(TASKS) + 2


def test_order_of_the_features_given_does_not_matter():
    torch.manual_seed(0)
    decoder = UpTransformer(TASKS, 16).eval()
    features, taps, found = run(decoder)
    again = decoder(dict(reversed(features.items())), taps)
    assert all(torch.equal(again[task], found[task]) for task in TASKS)
