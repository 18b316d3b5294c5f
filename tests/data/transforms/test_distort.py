"""Photometric distortion: every colour of 8-bit HSV, the order and chances of its steps."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import sample

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.distort import distort, saturate, shift_hue, to_hsv, to_rgb


def every_colour():
    """All 16.7 million, as (3, 4096, 4096)."""
    level = torch.arange(256, dtype=torch.uint8)
    return torch.stack(torch.meshgrid(level, level, level, indexing="ij")).view(3, 4096, 4096)


def test_hsv_of_three_million_colours():
    """Against the definition in float64, hue in half degrees on a circle: half a unit off where it is rounded.

    The reciprocals of OpenCV are off by 1/8192, times 255 for saturation and 5·255 for hue.
    """
    worst = 0.0
    for part in every_colour()[:, ::5].split(400, 1):
        r, g, b = part.double()
        hue, saturation, value = to_hsv(part).double()
        most, chroma = part.amax(0).double(), (part.amax(0) - part.amin(0)).double()
        assert torch.equal(value, most)
        assert ((255 * chroma / most.clamp_min(1)) - saturation).abs().max() < 0.5 + 255 / 8192
        sixth = torch.where(most == r, g - b, torch.where(most == g, b - r + 2 * chroma, r - g + 4 * chroma))
        off = (30 * sixth / chroma.clamp_min(1) - hue).abs() % 180
        worst = max(worst, torch.minimum(off, 180 - off).max().item())
        assert hue.max() < 180
    assert worst < 0.5 + 5 * 255 / 8192


def test_rgb_of_every_hue():
    """Against `colorsys`, at several saturations: cut off to 8 bits."""
    for h in range(180):
        for s, v in ((0, 77), (31, 255), (128, 200), (255, 255), (255, 9), (200, 0)):
            found = to_rgb(torch.tensor([h, s, v], dtype=torch.uint8).view(3, 1, 1)).flatten().double().numpy()
            exact = 255 * np.array(colorsys.hsv_to_rgb(h / 180, s / 255, v / 255))
            assert np.all((found <= exact + 1e-3) & (found > exact - 1 - 1e-3))


@pytest.mark.parametrize(
    ("rgb", "hsv"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 0, 255)),
        ((255, 0, 0), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((0, 0, 255), (120, 255, 255)),
        ((255, 0, 1), (0, 255, 255)),  # 179.88 half degrees are rounded to 180, that is 0
        ((200, 100, 50), (10, 191, 200)),
    ],
)
def test_some_colours(rgb, hsv):
    image = torch.tensor(rgb, dtype=torch.uint8).view(3, 1, 1)
    assert to_hsv(image).flatten().tolist() == list(hsv)


def test_saturation_and_hue():
    red = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1)
    assert saturate(red, 0.0).flatten().tolist() == [200, 200, 200]
    assert saturate(red, 9.0).flatten().tolist()[2] == 0
    assert shift_hue(red, 0).flatten().tolist() == to_rgb(to_hsv(red)).flatten().tolist()
    turned = shift_hue(red, 60).flatten().tolist()
    assert turned[1] == 200
    assert shift_hue(shift_hue(red, -18), 18).int().sub(red.int()).abs().max() <= 4


class Scripted(Draws):
    """Gives the listed numbers."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self):
        return self.numbers.pop(0)


YES, NO = 0.49, 0.5


def changed(image, factor, offset=0.0):
    return torch.from_numpy(np.clip(image.numpy().astype(np.float32) * factor + offset, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("contrast_first", [True, False])
def test_the_order_of_steps_and_draws(contrast_first):
    image = sample(5, 7)["image"]
    contrast, rest = (YES, 0.25), (YES, 0.5 + 0.25, YES, 0.5 + 0.1 / 36)
    middle = (YES, *contrast, *rest) if contrast_first else (NO, *rest, *contrast)
    draws = Scripted(YES, 0.75, *middle)
    expected = changed(image, 1.0, 16.0)
    expected = changed(expected, 0.75) if contrast_first else expected
    expected = shift_hue(saturate(expected, 1.25), 0)
    expected = expected if contrast_first else changed(expected, 0.75)
    assert torch.equal(distort(image, draws), expected)
    assert not draws.numbers


def test_nothing_happens_half_of_the_times():
    image = sample(5, 7)["image"]
    assert torch.equal(distort(image, Scripted(NO, NO, NO, NO, NO)), image)
    assert torch.equal(distort(image, Scripted(NO, YES, NO, NO, NO)), image)
    same = sum(torch.equal(distort(image, Draws("same", key)), image) for key in range(400))
    assert 10 < same < 45  # 1 in 16


def test_hues_are_drawn_from_36():
    image = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1)
    for number, shift in ((0.0, -18), (0.9999, 17)):
        assert torch.equal(distort(image, Scripted(NO, YES, NO, NO, YES, number)), shift_hue(image, shift))


@given(st.integers(0, 10**6))
def test_images_stay_8_bit_and_are_not_changed(key):
    image = sample(6, 9, key % 50)["image"]
    before = image.clone()
    out = distort(image, Draws("range", key))
    assert torch.equal(image, before)
    assert out.dtype == torch.uint8
    assert out.shape == image.shape
    assert torch.equal(out, distort(image, Draws("range", key)))
    # A pixel's colour does not depend on its neighbours.
    assert torch.equal(out[:, 2:4, 3:5], distort(image[:, 2:4, 3:5], Draws("range", key)))


def test_float_images_become_8_bit():
    image = torch.tensor([0.5, 0.999, 1.0]).view(3, 1, 1)
    assert distort(image, Scripted(NO, NO, NO, NO, NO)).flatten().tolist() == [127, 254, 255]
