"""Augmentations and the views they make: chances, windows, and what must not change."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, same, sample

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.augment import AUGMENTATIONS, Augmentation, make_views
from mtlrepro.data.transforms.basic import SCALES, flip_sample, zoom_sample
from mtlrepro.data.transforms.crop import Window, crop_sample, follow
from mtlrepro.errors import SpecError

GEOMETRIC = {
    "none": AUGMENTATIONS["none"],
    "flip": AUGMENTATIONS["flip"],
    "crop": Augmentation(crop=True),
    "flip_crop": Augmentation(flip=True, crop=True),
}
RESIZED = {name: augmentation for name, augmentation in AUGMENTATIONS.items() if not augmentation.native}
SEVERAL = {name: augmentation for name, augmentation in RESIZED.items() if not augmentation.zoom} | GEOMETRIC

keys = st.integers(0, 10**6)
sizes = st.tuples(st.integers(4, 20), st.integers(4, 20))


def first(toy, augmentation, key):
    ((view, window),) = make_views(toy, augmentation, TOY, Draws("views", key))
    assert window == Window.whole(toy["image"].shape[-2:])
    return view


# one view


def recorded_none(toy, draws):
    return toy


def recorded_flip(toy, draws):
    return flip_sample(toy, TOY) if draws.uniform() < 0.5 else toy


def recorded_flip_zoom(toy, draws):
    return zoom_sample(recorded_flip(toy, draws), draws.choice(SCALES), TOY)


@pytest.mark.parametrize(
    ("name", "recorded"), [("none", recorded_none), ("flip", recorded_flip), ("flip_zoom", recorded_flip_zoom)]
)
def test_recorded_runs_see_what_they_saw(name, recorded):
    """The order of draws behind recorded runs; new augmentations came beside them."""
    toy = sample(9, 12)
    for key in range(60):
        assert same(first(toy, AUGMENTATIONS[name], key), recorded(toy, Draws("views", key)))


def test_one_view_of_an_unchanged_sample_is_that_sample():
    toy = sample(6, 8)
    assert first(toy, AUGMENTATIONS["none"], 0) is toy


def test_augmentations_draw_what_they_promise():
    toy = sample(6, 8)
    flipped = flip_sample(toy, TOY)
    possible = [zoom_sample(start, s, TOY) for start in (toy, flipped) for s in SCALES]
    counts = [0] * 6
    for i in range(600):
        out = first(toy, AUGMENTATIONS["flip_zoom"], i)
        counts[next(k for k, p in enumerate(possible) if same(out, p))] += 1
    assert all(60 < count < 140 for count in counts)
    flips = sum(same(first(toy, AUGMENTATIONS["flip"], i), flipped) for i in range(400))
    assert 150 < flips < 250


def test_crops_are_mirrored_where_flips_are_asked_for():
    """A sample that grows to the right shows whether it was mirrored; its depth, by how much it was enlarged."""
    ramp = torch.arange(1.0, 13).expand(9, 12)
    toy = {"image": ramp.expand(3, 9, 12) / 12, "depth": torch.ones(9, 12)}
    for name, chance in (("crop_photo", 0), ("flip_crop_photo", 0.5)):
        geometry = Augmentation(flip=AUGMENTATIONS[name].flip, crop=AUGMENTATIONS[name].crop)
        flips, scales = 0, Counter()
        for key in range(300):
            ((view, _),) = make_views(toy, geometry, {"depth": TOY["depth"]}, Draws("mirror", key))
            flips += bool(view["image"][0, 0, 0] > view["image"][0, 0, -1])
            scales[round(1 / view["depth"].max().item(), 4)] += 1
        assert abs(flips - 300 * chance) < 45 * bool(chance) + 1
        assert set(scales) == set(SCALES)
        assert all(70 < n < 130 for n in scales.values())


def test_images_become_float_where_they_are_interpolated_or_coloured():
    toy = sample(8, 10)
    expected = dict.fromkeys(RESIZED, torch.uint8)
    expected |= dict.fromkeys(("flip_photo", "crop_photo", "flip_crop_photo"), torch.float32)
    for name, dtype in expected.items():
        assert {first(toy, AUGMENTATIONS[name], key)["image"].dtype for key in range(8)} == {dtype}


def test_colours_are_the_last_change_and_leave_labels_alone():
    toy = sample(8, 10)
    differ = 0
    for key in range(20):
        plain, coloured = first(toy, GEOMETRIC["flip_crop"], key), first(toy, AUGMENTATIONS["flip_crop_photo"], key)
        differ += not torch.equal(plain.pop("image"), coloured.pop("image"))
        assert same(plain, coloured)
    assert differ > 10


# several views


@given(st.sampled_from(sorted(SEVERAL)), sizes, keys, st.integers(2, 4), st.booleans())
def test_a_view_does_not_depend_on_those_that_follow(name, size, key, count, aligned):
    toy = sample(*size, key % 50)
    before = {field: value.clone() for field, value in toy.items()}
    views = make_views(toy, SEVERAL[name], TOY, Draws("views", key), count, aligned)
    fewer = make_views(toy, SEVERAL[name], TOY, Draws("views", key), count - 1, aligned)
    assert len(views) == count
    assert all(same(a, b) and v == w for (a, v), (b, w) in zip(views, fewer, strict=False))
    assert same(views[0][0], first(toy, SEVERAL[name], key))
    assert same(before, toy)


@given(st.sampled_from(sorted(GEOMETRIC)), sizes, keys)
def test_further_views_show_their_windows_of_the_first(name, size, key):
    toy = sample(*size, key % 50)
    (base, whole), *others = make_views(toy, GEOMETRIC[name], TOY, Draws("views", key), 3)
    assert whole == Window.whole(size)
    for view, window in others:
        expected = crop_sample(base, window, TOY)
        if not GEOMETRIC[name].crop:
            expected["image"] = base["image"].flip(-1) if window.flip else base["image"]
        assert same(view, expected)
        assert torch.equal(follow(base["image"][None].float(), [window])[0], view["image"].float())


def test_scales_compound():
    toy = {"image": torch.zeros(3, 12, 18), "depth": torch.full((12, 18), 3.6)}
    seen = Counter()
    for key in range(200):
        (base, _), *others = make_views(toy, GEOMETRIC["crop"], {"depth": TOY["depth"]}, Draws("depth", key), 3)
        for view, window in others:
            assert torch.allclose(view["depth"] * window.scale, base["depth"])
            seen[round(3.6 / view["depth"][0, 0].item(), 2)] += 1
    assert set(seen) == {1.0, 1.2, 1.44, 1.5, 1.8, 2.25}


@pytest.mark.parametrize("name", ["flip", "flip_crop", "flip_crop_photo"])
def test_of_the_further_views_only_the_first_is_mirrored(name):
    toy = sample(6, 9)
    drawn = [[w for _, w in make_views(toy, SEVERAL[name], TOY, Draws("flips", key), 4)] for key in range(200)]
    assert 70 < sum(windows[1].flip for windows in drawn) < 130
    assert not any(windows[k].flip for windows in drawn for k in (0, 2, 3))


def test_windows_of_views_are_drawn_apart():
    toy = sample(24, 36)
    pairs = {
        tuple(w for _, w in make_views(toy, AUGMENTATIONS["crop_photo"], TOY, Draws("apart", key), 3)[1:])
        for key in range(60)
    }
    assert len(pairs) > 50
    assert sum(a != b for a, b in pairs) > 40


@given(st.sampled_from(["crop_photo", "flip_crop_photo"]), keys)
def test_aligned_views_differ_in_their_colours_alone(name, key):
    toy = sample(12, 18, key % 50)
    base, one, other = make_views(toy, AUGMENTATIONS[name], TOY, Draws("aligned", key), 3, aligned=True)
    assert one[1] == other[1]
    assert same({**one[0], "image": other[0]["image"]}, other[0])
    apart = make_views(toy, AUGMENTATIONS[name], TOY, Draws("aligned", key), 2)
    assert same(one[0], apart[1][0])
    assert same(base[0], apart[0][0])


def test_aligned_views_have_colours_of_their_own():
    toy = sample(12, 18)
    equal = 0
    for key in range(60):
        _, one, other = make_views(toy, AUGMENTATIONS["crop_photo"], TOY, Draws("own", key), 3, aligned=True)
        equal += torch.equal(one[0]["image"], other[0]["image"])
    assert equal < 15


def test_a_zoom_about_the_centre_makes_no_further_views():
    toy = sample(6, 8)
    expected = (
        "data.augment: .* that zooms about the centre makes one view of a sample, 3 are asked for. "
        "Use one of: none, flip, flip_photo, crop_photo, flip_crop_photo$"
    )
    with pytest.raises(SpecError, match=expected):
        make_views(toy, AUGMENTATIONS["flip_zoom"], TOY, Draws(0), 3)
    for augmentation in SEVERAL.values():
        augmentation.check(5)


def test_unknown_augmentations_are_refused():
    with pytest.raises(SpecError, match=r"data.augment: unknown augmentation 'flipzoom'\. Did you mean 'flip_zoom'"):
        AUGMENTATIONS["flipzoom"]
    resized = {"none", "flip", "flip_photo", "flip_zoom", "crop_photo", "flip_crop_photo"}
    assert set(RESIZED) == resized
    padded = {"scale_flip_distort", "distort"}
    assert set(AUGMENTATIONS) == resized | {"flip_rotate", "flip_cut"} | padded | {f"{name}_small" for name in padded}
