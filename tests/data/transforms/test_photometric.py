"""Colour operations: published figures, torchvision and Pillow as oracles, and how operations are drawn."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState
from PIL import ImageOps
from torchvision.transforms import functional as V1

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms import photometric
from mtlrepro.data.transforms.photometric import OPERATIONS, randaugment

SIGNED = ("brightness", "color", "contrast", "sharpness")

PUBLISHED = {
    ("brightness", 0.15): (159.82936, 0.740765, 0.437861, 0.762505),
    ("brightness", -0.15): (120.31232,),
    ("color", 0.15): (141.14631, 0.699812, 0.359502, 0.711845),
    ("color", -0.15): (141.85254,),
    ("contrast", 0.15): (141.03552, 0.665973, 0.363068, 0.687713),
    ("contrast", -0.15): (141.85254,),
    ("sharpness", 0.15): (141.36226,),
    ("sharpness", -0.15): (141.57540,),
    ("posterize", 8): (140.97647,),
    ("posterize", 7): (140.43922, 0.643137, 0.376471, 0.658824),
    ("solarize", 255): (140.97647,),
    ("solarize", 246.5): (128.36079,),
    ("solarize", 212.5): (101.78039,),
    ("autocontrast", 0): (139.65862, 0.639138, 0.367608, 0.658626),
    ("equalize", 0): (140.97647,),
    ("identity", 0): (141.54390, 0.644144, 0.380748, 0.663048),
}
"""(operation, value) -> sum and first pixels, of the public reference implementation in float32."""


def picture(seed=30, size=(8, 12)):
    return torch.from_numpy(RandomState(seed).rand(3, *size)).float()


def dull(seed, size=(20, 31)):
    """A picture without very dark or bright pixels, with many equal ones, smooth in places."""
    return (picture(seed, size) * 200).round() / 255 * 0.7 + 0.1


@pytest.mark.parametrize("drawn", PUBLISHED, ids=lambda drawn: f"{drawn[0]}{drawn[1]}")
def test_figures_of_the_public_implementation(drawn):
    name, value = drawn
    out = OPERATIONS[name].apply(picture(), value)
    total, *pixels = PUBLISHED[drawn]
    assert out.dtype == torch.float32
    assert out.double().sum().item() == pytest.approx(total, abs=1.6e-5, rel=0)  # theirs is a sum in single precision
    assert out[0, 0, : len(pixels)].tolist() == pytest.approx(pixels, abs=6e-7, rel=0)


def test_strengths_are_the_published_ones():
    changes = [0, 0.03, 0.06, 0.09, 0.12, 0.15]
    expected = dict.fromkeys(SIGNED, changes)
    expected |= {"posterize": [8, 8, 8, 8, 7, 7], "solarize": [255, 246.5, 238, 229.5, 221, 212.5]}
    assert len(OPERATIONS) == 9
    for name, operation in OPERATIONS.items():
        assert list(operation.values) == pytest.approx(expected.get(name, [0] * 6))
        assert operation.signed == (name in SIGNED)


TORCHVISION = {
    "brightness": V1.adjust_brightness,
    "color": V1.adjust_saturation,
    "contrast": V1.adjust_contrast,
    "sharpness": V1.adjust_sharpness,
}


@given(st.sampled_from(SIGNED), st.floats(-0.15, 0.15), st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
def test_blends_are_torchvision_s(name, value, seed, h, w):
    image = picture(seed, (h, w))
    assert torch.allclose(OPERATIONS[name].apply(image, value), TORCHVISION[name](image, 1 + value), atol=2e-7)


PILLOW = {
    "posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "solarize": ImageOps.solarize,
    "equalize": lambda image, _: ImageOps.equalize(image),
}


@given(st.sampled_from(sorted(PILLOW)), st.integers(0, 5), st.integers(0, 99))
def test_8_bit_operations_are_pillow_s(name, k, seed):
    image, value = dull(seed), OPERATIONS[name].values[k]
    expected = V1.to_tensor(PILLOW[name](V1.to_pil_image(image), value))
    assert torch.equal(OPERATIONS[name].apply(image, value), expected)


def test_8_bits_cut_off():
    """255 · 0.5 = 127.5 becomes 127; equalising a picture with two grey levels spreads them over the range."""
    image = torch.full((3, 32, 32), 0.5)
    assert torch.equal(OPERATIONS["posterize"].apply(image, 8), torch.full((3, 32, 32), 127 / 255))
    image[:, :16] = 0.25
    assert OPERATIONS["equalize"].apply(image, 0).unique().tolist() == [0, 1]


@given(st.integers(0, 10**6))
def test_images_stay_in_range_and_are_not_changed(key):
    image = dull(key % 50)
    before = image.clone()
    out = randaugment(image, Draws("range", key))
    assert torch.equal(image, before)
    assert out.dtype == torch.float32
    assert out.shape == image.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(out, randaugment(image, Draws("range", key)))


class Scripted(Draws):
    """Gives the listed numbers."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self):
        return self.numbers.pop(0)


def test_operation_then_strength_then_sign():
    """A sign is drawn for signed operations alone, a strength for all."""
    image, names = dull(1), list(OPERATIONS)

    def place(name):
        return (names.index(name) + 0.5) / 9

    draws = Scripted(place("contrast"), 5.5 / 6, 0.4, place("identity"), 0.9)
    assert torch.equal(randaugment(image, draws), OPERATIONS["contrast"].apply(image, -0.15))
    assert not draws.numbers
    draws = Scripted(place("equalize"), 0.1, place("color"), 2.5 / 6, 0.6)
    expected = OPERATIONS["color"].apply(OPERATIONS["equalize"].apply(image, 0), 0.06)
    assert torch.allclose(randaugment(image, draws), expected, atol=1e-7)
    assert not draws.numbers


def test_operations_strengths_and_signs_are_uniform(monkeypatch):
    seen = []

    def spy(name):
        return lambda image, value: (seen.append((name, round(value, 6))), image)[1]

    spies = {name: operation._replace(apply=spy(name)) for name, operation in OPERATIONS.items()}
    monkeypatch.setattr(photometric, "OPERATIONS", spies)
    image = torch.zeros(3, 4, 4)
    for i in range(4500):
        randaugment(image, Draws("uniform", i))
    assert len(seen) == 9000
    names = Counter(name for name, _ in seen)
    assert set(names) == set(OPERATIONS)
    assert all(850 < n < 1150 for n in names.values())
    values = Counter(value for name, value in seen if name in SIGNED)  # ±0 are equal
    assert sorted(values) == pytest.approx([-0.15, -0.12, -0.09, -0.06, -0.03, 0, 0.03, 0.06, 0.09, 0.12, 0.15])
    assert all(abs(n - (4000 / 6 if value == 0 else 4000 / 12)) < 100 for value, n in values.items())
    assert Counter(v for name, v in seen if name == "posterize")[7] == pytest.approx(1000 / 3, abs=75)
    pairs = Counter(zip([n for n, _ in seen[::2]], [n for n, _ in seen[1::2]], strict=True))
    assert len(pairs) == 81  # with replacement, in either order
