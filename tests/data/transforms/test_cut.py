"""Cuts of a fixed size: where they are, and by which classes they are chosen."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, same, sample

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.cut import ROUNDS, cut_sample, draw_place, varied


class Counting(Draws):
    """Counts how many numbers are drawn."""

    count = 0

    def uniform(self):
        self.count += 1
        return super().uniform()


def test_places_are_uniform():
    counts = Counter(draw_place((6, 8), (4, 5), Draws("places", key)) for key in range(6000))
    assert set(counts) == {(top, left) for top in range(3) for left in range(4)}
    assert all(abs(n - 500) < 110 for n in counts.values())


def test_along_an_axis_that_is_too_short_there_is_one_place():
    assert {draw_place((3, 8), (4, 8), Draws(key)) for key in range(20)} == {(0, 0)}
    toy = sample(3, 8)
    assert same(cut_sample(toy, (0, 0), (4, 6), TOY), {name: value[..., :6] for name, value in toy.items()})


@given(st.integers(0, 99), st.data())
def test_a_cut_is_that_part(seed, data):
    h, w = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    top, left = data.draw(st.tuples(st.integers(0, h - 1), st.integers(0, w - 1)))
    size = data.draw(st.tuples(st.integers(1, h - top), st.integers(1, w - left)))
    toy = sample(h, w, seed)
    out = cut_sample(toy, (top, left), size, TOY)
    assert same(out, {name: v[..., top : top + size[0], left : left + size[1]] for name, v in toy.items()})


def classes(*counts):
    return torch.cat([torch.full((n,), c, dtype=torch.uint8) for c, n in counts])[None]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (classes((0, 3), (1, 1)), False),  # three quarters are too much
        (classes((0, 29), (1, 11)), True),
        (classes((0, 29), (1, 11), (255, 400)), True),
        (classes((7, 5)), False),
        (classes((7, 5), (255, 5)), False),
        (classes((255, 5)), False),
        (classes((0, 1), (1, 1), (254, 1)), True),
    ],
)
def test_which_cuts_are_varied(label, expected):
    assert varied(label) is expected


class Remote:
    """Class ids on a device: to look at them is to wait for it."""

    def __init__(self, label):
        self.label, self.copies = label, 0

    def cpu(self):
        self.copies += 1
        return self.label


def test_classes_are_copied_to_the_host_once():
    label = torch.zeros(9, 9, dtype=torch.uint8)
    remote = Remote(label)
    assert draw_place((9, 9), (4, 4), Draws("remote"), remote) == draw_place((9, 9), (4, 4), Draws("remote"), label)
    assert remote.copies == 1


def test_places_are_drawn_until_the_cut_is_varied_but_not_for_ever():
    """Ten places are judged, the eleventh is taken; without classes the first is."""
    label = torch.zeros(9, 9, dtype=torch.uint8)
    for known, places in ((None, 1), (label, ROUNDS + 1)):
        draws = Counting("rounds")
        draw_place((9, 9), (4, 4), draws, known)
        assert draws.count == 2 * places
    label[:, 4:] = 1
    lefts = Counter()
    for key in range(300):
        draws = Counting("half", key)
        top, left = draw_place((9, 9), (4, 4), draws, label)
        lefts[left] += 1
        if draws.count < 2 * (ROUNDS + 1):
            assert varied(label[top : top + 4, left : left + 4])
    assert 240 < lefts[2] < 280  # the only varied place, one of six: 1 - (5/6)¹¹ of the times
