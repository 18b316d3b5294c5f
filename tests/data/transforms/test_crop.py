"""Random windows of samples: published figures, the meaning of a window, and what happens to labels."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState
from toy_samples import TOY, same, sample, unit_or_zero

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.transforms.basic import SCALES, flip_sample
from mtlrepro.data.transforms.crop import Window, crop_sample, draw_window, follow
from mtlrepro.tasks import make_tasks

sizes = st.tuples(st.integers(2, 24), st.integers(2, 24))
keys = st.integers(0, 10**6)


@st.composite
def windows(draw):
    """A size and a drawn window of it."""
    size = draw(sizes)
    return size, draw_window(size, Draws("window", draw(keys)), draw(st.booleans()))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=0)


PUBLISHED = {
    (1.0, 0, 0, 24, 36): (1292.665484, 0.78335614, 4674, 73, 2225.246818, 0.73704044, -34.850329, 0.62655551),
    (1.2, 3, 5, 20, 30): (1287.594052, 0.61933372, 4796, 71, 1922.044802, 0.11099622, -43.447022, 0.34818609),
    (1.5, 7, 11, 16, 24): (1275.970673, 0.39143120, 4838, 63, 1615.736452, 2.75172740, -90.016423, -0.03828942),
}
"""Window -> figures of the public reference implementation in float64."""


@pytest.mark.parametrize("window", PUBLISHED)
def test_figures_of_the_public_implementation(window):
    toy = {
        "image": RandomState(31).rand(3, 24, 36),
        "semseg": RandomState(32).randint(-1, 13, (24, 36)),
        "depth": 5 * RandomState(33).rand(24, 36),
    }
    through = Window(False, *window)
    out = crop_sample(
        {name: torch.from_numpy(v) for name, v in toy.items()}, through, {t: TOY[t] for t in list(toy)[1:]}
    )
    vectors = torch.from_numpy(unit(RandomState(34).standard_normal((3, 24, 36))))
    image, label, depth = out.values()
    (normals,) = follow(vectors[None], [through])  # interpolated, at the length that leaves them
    found = [image.sum(), image[0, 5, 7], label.sum(), (label == -1).sum()]
    found += [depth.sum(), depth[5, 7], normals.sum(), normals[0, 5, 7]]
    assert torch.stack([v.double() for v in found]).tolist() == pytest.approx(PUBLISHED[window], abs=6e-7, rel=0)
    whole = crop_sample({"image": image, "normals": vectors}, through, {"normals": TOY["normals"]})["normals"]
    assert torch.allclose(whole, F.normalize(normals, dim=0), atol=1e-12)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        ((288, 384), [(288, 384), (240, 320), (192, 256)]),
        ((128, 256), [(128, 256), (106, 213), (85, 170)]),
        ((256, 256), [(256, 256), (213, 213), (170, 170)]),
    ],
)
def test_published_sizes_of_windows(size, parts):
    drawn = {draw_window(size, Draws("sizes", i))[1:] for i in range(100)}
    assert {(w[0], w[3], w[4]) for w in drawn} == {(s, *part) for s, part in zip(SCALES, parts, strict=True)}


def test_windows_are_uniform():
    """Scales, and all positions of a scale, are equally likely; the mirror is the caller's."""
    counts = Counter(draw_window((6, 8), Draws("uniform", i), flip=True) for i in range(6000))
    assert {w.flip for w in counts} == {True}
    for scale, places in ((1.0, 1), (1.2, 2 * 3), (1.5, 3 * 4)):
        of_scale = {w: n for w, n in counts.items() if w.scale == scale}
        assert len(of_scale) == places
        assert all(abs(n - 2000 / places) < 5 * (2000 / places) ** 0.5 for n in of_scale.values())


@given(windows())
def test_windows_lie_inside(drawn):
    (h, w), window = drawn
    assert 0 <= window.top <= h - window.height
    assert 0 <= window.left <= w - window.width
    assert window.height == int(h / window.scale)
    assert window.width == int(w / window.scale)


@given(windows())
def test_a_window_says_what_is_shown(drawn):
    """A map of coordinates, in double precision, against the definition: mirror, cut, resize."""
    (h, w), (flip, scale, top, left, height, width) = drawn
    ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    toy = {"image": torch.stack([ys, xs, 0 * xs]).double(), "depth": (w * ys + xs).double()}
    out = crop_sample(toy, drawn[1], {"depth": TOY["depth"]})
    (followed,) = follow(toy["image"][None], [drawn[1]])
    assert torch.equal(followed, out["image"])
    for i, j in np.ndindex(h, w):
        y = top + (i * (height - 1) / (h - 1))
        x = left + (j * (width - 1) / (w - 1))
        assert followed[0, i, j] == pytest.approx(y, abs=1e-9)
        assert followed[1, i, j] == pytest.approx(w - 1 - x if flip else x, abs=1e-9)
        row, column = top + i * height // h, left + j * width // w
        assert out["depth"][i, j] == (w * row + (w - 1 - column if flip else column)) / scale


@pytest.mark.parametrize(("part", "full"), [(240, 288), (192, 288), (320, 384), (256, 384), (106, 128), (85, 128)])
def test_nearest_is_torch_s_floored_one(part, full):
    label = torch.arange(full, dtype=torch.float32).expand(2, full)
    out = crop_sample(
        {"image": torch.zeros(3, 2, full), "depth": label}, Window(False, 1.0, 0, 3, 2, part), {"depth": TOY["depth"]}
    )
    expected = F.interpolate(label[None, None, :, 3 : 3 + part], size=(2, full), mode="nearest")[0, 0]
    assert torch.equal(out["depth"], expected)


@given(windows(), st.integers(0, 99))
def test_crops_keep_shapes_and_label_sets(drawn, seed):
    size, window = drawn
    toy = sample(*size, seed)
    before = {name: value.clone() for name, value in toy.items()}
    out = crop_sample(toy, window, TOY)
    assert same(before, toy)
    assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in toy.items()}
    assert {k: v.dtype for k, v in out.items()} == {k: v.dtype for k, v in toy.items()} | {"image": torch.float32}
    for name in ("semseg", "edges"):
        assert set(out[name].unique().tolist()) <= set(toy[name].unique().tolist())
    assert unit_or_zero(out["normals"])
    assert 0 <= out["image"].min() <= out["image"].max() <= 1
    for name, task in TOY.items():
        task.collate(out[name])


@given(sizes, st.booleans(), st.integers(0, 99))
def test_the_whole_window_mirrors_or_leaves(size, flip, seed):
    toy = sample(*size, seed)
    out = crop_sample(toy, Window.whole(size, flip), TOY)
    expected = flip_sample(toy, TOY) if flip else toy
    assert same(out, {**expected, "image": expected["image"].float() / 255})


def test_8_bit_images_are_not_rounded_again():
    toy = {"image": sample(12, 18)["image"]}
    window = Window(True, 1.5, 2, 3, 8, 12)
    exact = crop_sample({"image": toy["image"].double() / 255}, window, {})["image"]
    out = crop_sample(toy, window, {})["image"]
    assert (out - exact).abs().max() < 1e-6
    assert (out * 255 - (out * 255).round()).abs().max() > 0.1


@given(windows(), st.integers(0, 99))
def test_all_labels_move_together(drawn, seed):
    """Where depth, normals, edges and validity are functions of the class, they still are afterwards."""
    size, window = drawn
    cls = sample(*size, seed)["semseg"] % 3
    toy = {
        "image": torch.zeros(3, *size),
        "semseg": cls,
        "depth": 1.0 + cls.float(),
        "normals": torch.stack([(cls == i).float() for i in range(3)]) * (cls < 2),
        "edges": (cls == 1).to(torch.uint8),
    }
    out = crop_sample(toy, window, TOY)
    cls = out["semseg"]
    assert torch.equal(out["depth"], (1.0 + cls.float()) / window.scale)
    assert torch.equal(out["edges"], (cls == 1).to(torch.uint8))
    assert not out["normals"][:, cls == 2].any()
    # Interpolated: where the source pixel's own weight is not 0, its component is there, with the mirrored sign.
    assert bool((out["normals"][0] * (-1 if window.flip else 1) >= 0).all())
    assert bool((out["normals"][1:] >= 0).all())


@given(st.integers(2, 24), keys, st.data())
def test_a_thin_line_in_the_window_is_never_lost(n, key, data):
    window = draw_window((n, n), Draws("line", key))
    column = data.draw(st.integers(window.left, window.left + window.width - 1))
    edges = torch.zeros(n, n, dtype=torch.uint8)
    edges[:, column] = 1
    out = crop_sample({"image": torch.zeros(3, n, n), "edges": edges}, window, {"edges": TOY["edges"]})["edges"]
    assert all(1 <= pixels <= 2 for pixels in out.sum(1).tolist())


def test_invalid_pixels_of_maps_without_a_zero_stay_invalid():
    tasks = make_tasks(("reshading",), DatasetInfo("toy", ("reshading",)))
    label = torch.arange(36.0).view(6, 6)
    label[2, 3] = torch.nan
    out = crop_sample({"image": torch.zeros(3, 6, 6), "reshading": label}, Window(False, 1.5, 1, 1, 4, 4), tasks)
    expected = label[1:5, 1:5][[0, 0, 1, 2, 2, 3]][:, [0, 0, 1, 2, 2, 3]]
    assert torch.equal(out["reshading"].nan_to_num(-1), expected.nan_to_num(-1))
    assert out["reshading"].isnan().sum() == 2


def test_follow_carries_every_sample_through_its_own_window():
    maps = torch.randn(3, 5, 12, 18)
    seen = [Window.whole((12, 18)), Window(True, 1.5, 1, 2, 8, 12), Window.whole((12, 18), flip=True)]
    out = follow(maps, seen)
    assert torch.equal(out[0], maps[0])
    assert torch.equal(out[2], maps[2].flip(-1))
    cut = maps[1].flip(-1)[:, 1:9, 2:14]
    assert torch.equal(out[1], F.interpolate(cut[None], size=(12, 18), mode="bilinear", align_corners=True)[0])
    with pytest.raises(ValueError, match="argument"):
        follow(maps, seen[:2])
