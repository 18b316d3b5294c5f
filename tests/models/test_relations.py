"""Relational contexts: published vectors, definitions by brute force, what may be permuted, what learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn
from shape_vectors import assert_statistics, fill_by_shape
from torch import nn

from mtlrepro.models.relations import RELATIONS, LocalContext, TaskMaps, windows

VECTORS = {
    "global": (0.306188, 0.306188, 0.297415, 0.320285, 0.274341, 0.330389),
    "t-label": (0.067631, 0.067631, 0.220307, 0.011827, 0.038396, 0),
    "s-label": (0.034854, 0.034854, 0, 0, 0.140042, 0),
}
KINDS = [name for name, kind in RELATIONS.items() if kind is not None]
LABELS = [name for name in KINDS if RELATIONS[name].labels_of]


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name):
    target, source, of_target, of_source = randn(4, (1, 6, 5, 7), (1, 6, 5, 7), (1, 3, 35), (1, 2, 35))
    relation = fill_by_shape(RELATIONS[name](6, 4))
    found = relation(TaskMaps(target, of_target.softmax(2)), TaskMaps(source, of_source.softmax(2)))
    assert found.shape == (1, 4, 5, 7)
    assert_statistics(found, *VECTORS[name])


def drawn(seed, batch=2, channels=5, height=3, width=4):
    """A target with three classes and a source with two, float64."""
    places = height * width
    shapes = [(batch, channels, height, width)] * 2 + [(batch, 3, places), (batch, 2, places)]
    target, source, of_target, of_source = (m.double() for m in randn(seed, *shapes))
    return TaskMaps(target, of_target.softmax(2)), TaskMaps(source, of_source.softmax(2))


def random_relation(name, seed=0, channels=5, width=3):
    torch.manual_seed(seed)
    relation = RELATIONS[name](channels, width).double()
    for module in relation.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return relation.eval()


def projected(block, vector, last):
    """1x1 convolution, norm and activation, once for the value and twice for queries and keys, of one vector."""
    layers = [layer for layer in block if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    for i, (conv, norm) in enumerate(pairs):
        vector = conv.weight[:, :, 0, 0] @ vector
        vector = (vector - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        vector = (last if i == len(pairs) - 1 else torch.relu)(vector)
    return vector


def by_brute_force(name, relation, target, source, place, sample):
    """The context of one place (row, column) of one image of the batch."""
    height, width = source.features.shape[-2:]
    last = torch.nn.functional.softplus if name == "global" else torch.relu
    query = projected(relation.query, target.features[sample, :, place[0], place[1]], last)
    pixels = {(y, x): source.features[sample, :, y, x] for y in range(height) for x in range(width)}
    if name in LABELS:
        maps = {"t-label": target, "s-label": source}[name].labels[sample]
        attended = [sum(p * v for p, v in zip(distribution, pixels.values(), strict=True)) for distribution in maps]
    else:
        attended = list(pixels.values())
    keys = [projected(relation.key, v, last) for v in attended]
    values = [projected(relation.value, v, torch.relu) for v in attended]
    if name == "global":
        weights = [query @ key for key in keys]
    elif name == "local":
        near = dict(zip(pixels, zip(keys, values, strict=True), strict=True))
        nothing = torch.zeros_like(query), torch.zeros_like(query)
        around = [(place[0] + y, place[1] + x) for y in range(-4, 5) for x in range(-4, 5)]
        pairs = [near.get(other, nothing) for other in around]
        values = [value for _, value in pairs]
        weights = [(query @ key / len(query) ** 0.5).exp() for key, _ in pairs]
    else:
        weights = [(query @ key / len(query) ** 0.5).exp() for key in keys]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), height=st.integers(1, 6), width=st.integers(1, 6), data=st.data())
@torch.no_grad()
def test_brute_force(name, seed, height, width, data):
    target, source = drawn(seed, height=height, width=width)
    relation = random_relation(name, seed)
    place = data.draw(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)))
    found = relation(target, source)
    for sample in range(2):
        expected = by_brute_force(name, relation, target, source, place, sample)
        torch.testing.assert_close(found[sample, :, place[0], place[1]], expected, rtol=1e-10, atol=1e-12)


def moved(maps, order):
    labels = None if maps.labels is None else maps.labels[..., order]
    return TaskMaps(maps.features.flatten(2)[..., order].view_as(maps.features), labels)


@pytest.mark.parametrize("name", ["global", *LABELS])
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)), seed=st.integers(0, 99))
@torch.no_grad()
def test_places_have_no_order(name, order, seed):
    # Contexts of the whole picture are sets: queries move with the target, and where the source's pixels are is
    # nobody's business, as long as their labels move with them.
    (target, source), relation = drawn(seed), random_relation(name, seed)
    both = relation(moved(target, order), moved(source, order))
    found = relation(target, source)
    torch.testing.assert_close(both, moved(TaskMaps(found), order).features)
    if name != "t-label":  # there the source is read through the target's labels
        torch.testing.assert_close(relation(target, moved(source, order)), found)


@pytest.mark.parametrize("name", LABELS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
@torch.no_grad()
def test_classes_have_no_order_and_sum_to_one_picture(name, seed):
    target, source = drawn(seed)
    relation = random_relation(name, seed)
    swapped = [TaskMaps(maps.features, maps.labels.flip(1)) for maps in (target, source)]
    torch.testing.assert_close(relation(*swapped), relation(target, source))
    # Every class is a mean: if the source is the same everywhere, it is the same vector, whatever the labels.
    flat = TaskMaps(source.features[..., :1, :1].expand_as(source.features), source.labels)
    found = relation(target, flat)
    torch.testing.assert_close(found, relation.value(flat.features))


@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_learns_and_only_the_labels_asked_for_do(name):
    target, source = (TaskMaps(m.features.requires_grad_(), m.labels.detach().requires_grad_()) for m in drawn(3))
    relation = random_relation(name).train()
    relation(target, source).square().sum().backward()
    assert [n for n, p in relation.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert target.features.grad.any()
    assert source.features.grad.any()
    learning = [w for w, maps in (("target", target), ("source", source)) if maps.labels.grad is not None]
    assert learning == [w for w in ("target", "source") if w == RELATIONS[name].labels_of]


def test_windows_are_those_of_unfold():
    maps = randn(0, (2, 3, 4, 5))[0]
    expected = nn.functional.unfold(maps, 9, padding=4).view(2, 3, 81, 4, 5)
    assert torch.equal(torch.stack(windows(maps), dim=2), expected)


def test_local_context_stays_in_its_window():
    relation, (target, source) = random_relation("local"), drawn(1, height=1, width=12)
    changed = source.features.clone()
    changed[..., 8] += 1
    difference = relation(target, TaskMaps(changed)) - relation(target, source)
    assert difference.abs().sum((0, 1, 2)).ne(0).tolist() == [abs(x - 8) <= 4 for x in range(12)]
    assert LocalContext.labels_of == ""


def test_start_of_the_weights():
    torch.manual_seed(0)
    relation = RELATIONS["global"](180, 90)
    for conv in (m for m in relation.modules() if isinstance(m, nn.Conv2d)):
        bound = (6 / sum(conv.weight.shape[:2])) ** 0.5  # Xavier uniform
        assert 0.99 * bound < conv.weight.abs().max() <= bound
        assert conv.bias is None
    assert all((m.weight == 1).all() for m in relation.modules() if isinstance(m, nn.BatchNorm2d))
