"""Mirroring, zooming and resizing: one geometry for the image and all labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import INFO, TOY, same, sample, samples, sizes, unit_or_zero

from mtlrepro.data.draws import Draws, permutation
from mtlrepro.data.transforms.basic import SCALES, flip_sample, resize_image, resize_sample, zoom_sample
from mtlrepro.tasks.edges import Edges
from mtlrepro.tasks.normals import Normals


class Boundaries(Edges):
    """Edges that stay thin and whole when shrunk."""

    resampling = "boundary"


class Interpolated(Normals):
    """Normals that are interpolated."""

    resampling = "bilinear"


def ramp(h=6, w=8):
    """Map with the value w*y + x."""
    return torch.arange(h * w).view(h, w)


# zoom


ZOOMED = {
    1.5: [9, 17, 17, 25, 33, 33],
    1.2: [1, None, None, None, None, 41],
}
"""First column of the 6x8 map 8*y + x after OpenCV's nearest warp; None where it was not recorded."""
COLUMNS = {1.5: [0, 1, 2, 2, 3, 4, 4, 5], 1.2: [0, 1, 1, 2, 3, 4, 5, 5]}


@pytest.mark.parametrize("scale", [1.5, 1.2])
def test_zoom_takes_the_pixels_that_opencv_takes(scale):
    toy = {**sample(6, 8), "semseg": ramp().to(torch.uint8)}
    out = zoom_sample(toy, scale, {"semseg": TOY["semseg"]})["semseg"]
    for row, first in zip(out.tolist(), ZOOMED[scale], strict=True):
        if first is not None:
            assert row == [first + column for column in COLUMNS[scale]]


def test_zoom_divides_depth():
    toy = {**sample(6, 8), "depth": ramp().float() + 1}
    out = zoom_sample(toy, 1.5, {"depth": TOY["depth"]})["depth"]
    expected = torch.tensor([6.6667, 7.3333, 8, 8, 8.6667, 9.3333, 9.3333, 10])
    assert torch.allclose(out[0], expected, atol=1e-4)


@given(samples, st.sampled_from([1.0, 1.2, 1.5, 2.0, 3.7]))
def test_zoom_keeps_size_and_label_sets(toy, scale):
    before = {name: value.clone() for name, value in toy.items()}
    out = zoom_sample(toy, scale, TOY)
    assert same(before, toy)
    assert {k: (v.shape, v.dtype) for k, v in out.items()} == {k: (v.shape, v.dtype) for k, v in toy.items()}
    for name in ("semseg", "edges"):
        assert set(out[name].unique().tolist()) <= set(toy[name].unique().tolist())
    assert set((out["depth"] == 0).unique().tolist()) <= set((toy["depth"] == 0).unique().tolist())
    assert unit_or_zero(out["normals"])
    assert toy["image"].min() <= out["image"].min()
    assert out["image"].max() <= toy["image"].max()


def test_zoom_one_is_the_identity_and_less_is_refused():
    toy = sample(5, 7)
    assert same(zoom_sample(toy, 1.0, TOY), toy)
    with pytest.raises(ValueError, match="outside the image"):
        zoom_sample(toy, 0.9, TOY)


@given(sizes, st.sampled_from(SCALES), st.booleans(), st.integers(0, 99))
def test_all_labels_move_together(size, scale, mirrored, seed):
    """Where depth, normals and edges are functions of the class, they still are afterwards."""
    toy = sample(*size, seed)
    cls = toy["semseg"] % 3
    toy |= {
        "semseg": cls,
        "depth": 1.0 + cls.float(),
        "normals": torch.stack([(cls == i).float() for i in range(3)]),
        "edges": (cls == 1).to(torch.uint8),
    }
    out = zoom_sample(flip_sample(toy, TOY) if mirrored else toy, scale, TOY)
    cls = out["semseg"]
    sign = -1.0 if mirrored else 1.0
    assert torch.equal(out["depth"], TOY["depth"].zoom_values(1.0 + cls.float(), scale))
    # Normals are interpolated: the component of the pixel's own class is in them, with the mirrored sign.
    own = out["normals"].gather(0, cls.long()[None])[0]
    assert bool((own[cls == 0] * sign > 0).all())
    assert bool((own[cls != 0] > 0).all())
    assert unit_or_zero(out["normals"])
    assert torch.equal(out["edges"], (cls == 1).to(torch.uint8))


@given(st.integers(2, 20), st.integers(2, 20), st.sampled_from([1.2, 1.5, 2.0]), st.booleans())
def test_the_image_moves_with_its_labels(h, w, scale, mirrored):
    """A ramp in the image and the same ramp as depth agree within the half pixel that nearest may err."""
    ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    image = torch.stack([5 * ys, 5 * xs, 0 * xs]).to(torch.uint8)
    for axis, values in enumerate((ys, xs)):
        toy = {"image": image, "depth": values.float()}
        tasks = {"depth": TOY["depth"]}
        out = zoom_sample(flip_sample(toy, tasks) if mirrored else toy, scale, tasks)
        assert (out["image"][axis] / 5 - out["depth"] * scale).abs().max() <= 0.5 + 0.1 + 1e-4


def test_zoom_interpolates_images_exactly():
    """Against a direct evaluation of the mapping in double precision."""
    toy, scale = sample(9, 14), 1.2
    out = zoom_sample(toy, scale, {})["image"]
    image = toy["image"].double().numpy()
    y, x = (np.arange(n) / scale + n / 2 * (1 - 1 / scale) for n in image.shape[-2:])
    y0, x0 = np.floor(y + 1e-9).astype(int), np.floor(x + 1e-9).astype(int)
    v, u = (y - y0)[:, None], x - x0
    y1, x1 = y0 + 1, x0 + 1
    expected = (1 - v) * ((1 - u) * image[:, y0][..., x0] + u * image[:, y0][..., x1])
    expected += v * ((1 - u) * image[:, y1][..., x0] + u * image[:, y1][..., x1])
    assert np.abs(out.numpy() - expected).max() <= 0.5 + 1e-4


@given(samples, sizes, st.sampled_from(SCALES))
def test_float_images_move_as_8_bit_ones_but_unrounded(toy, size, scale):
    exact = {**toy, "image": toy["image"].float() / 255}
    for bytes_, floats in (
        (zoom_sample(toy, scale, {}), zoom_sample(exact, scale, {})),
        (resize_sample(toy, size, {}), resize_sample(exact, size, {})),
    ):
        assert floats["image"].dtype == torch.float32
        assert (floats["image"] * 255 - bytes_["image"]).abs().max() <= 0.5 + 1e-3
        assert 0 <= floats["image"].min() <= floats["image"].max() <= 1


# flip


@given(samples)
def test_flip_twice_is_the_identity(toy):
    assert same(flip_sample(flip_sample(toy, TOY), TOY), toy)


def test_flip_mirrors_everything_and_negates_x_of_normals():
    toy = sample(5, 7)
    out = flip_sample(toy, TOY)
    for name in ("image", "semseg", "depth", "edges"):
        assert torch.equal(out[name], toy[name].flip(-1))
    mirrored = toy["normals"].flip(-1)
    assert torch.equal(out["normals"][0], -mirrored[0])
    assert torch.equal(out["normals"][1:], mirrored[1:])


# random numbers


@given(st.integers(0, 2**40), st.integers(1, 50))
def test_draws_depend_on_their_key_alone(key, n):
    a, b = Draws("x", key), Draws("x", key)
    first = [a.uniform() for _ in range(n)]
    assert first == [b.uniform() for _ in range(n)]
    assert first != [Draws("y", key).uniform() for _ in range(n)]
    assert all(0 <= v < 1 for v in first)
    assert len(set(first)) == n
    assert sorted(permutation(n, key)) == list(range(n))


def test_draws_are_pinned():
    """Recorded runs depend on these numbers."""
    draws = Draws("order", 0, 1)
    assert [draws.uniform() for _ in range(3)] == [0.502166686245919, 0.02918894939110961, 0.5190084116679947]
    assert permutation(8, "order", 0, 0) == [4, 3, 0, 1, 6, 5, 7, 2]


# resize


@given(samples, sizes)
def test_resize_gives_the_size_and_keeps_label_sets(toy, size):
    out = resize_sample(toy, size, TOY)
    assert {name: value.shape[-2:] for name, value in out.items()} == dict.fromkeys(toy, torch.Size(size))
    assert unit_or_zero(out["normals"])
    for name in TOY:
        assert out[name].dtype == toy[name].dtype
        if name == "normals":
            continue
        old = {tuple(v) for v in toy[name].reshape(-1, *toy[name].shape[-2:]).flatten(1).T.tolist()}
        assert {tuple(v) for v in out[name].reshape(-1, *size).flatten(1).T.tolist()} <= old


def test_the_same_size_is_the_identity():
    toy = sample(5, 7)
    assert same(resize_sample(toy, (5, 7), TOY), toy)
    assert list(resize_sample(toy, (5, 7), {"depth": TOY["depth"]})) == ["image", "depth"]


@given(sizes, st.integers(1, 4))
def test_enlarging_by_whole_factors_repeats_pixels(size, k):
    toy = sample(*size)
    out = resize_sample(toy, (size[0] * k, size[1] * k), TOY)
    for name in ("semseg", "depth"):
        assert torch.equal(out[name], toy[name].repeat_interleave(k, -1).repeat_interleave(k, -2))
    invalid = (toy["normals"] == 0).all(0).repeat_interleave(k, -1).repeat_interleave(k, -2)
    assert torch.equal((out["normals"] == 0).all(0), invalid)


@given(sizes, sizes)
def test_nearest_reads_the_pixel_that_holds_the_centre(old, new):
    toy = {"image": sample(*old)["image"], "depth": ramp(*old).float()}
    out = resize_sample(toy, new, {"depth": TOY["depth"]})["depth"]
    for (y, x), value in np.ndenumerate(out.numpy()):
        row, column = int((y + 0.5) * old[0] / new[0] + 1e-9), int((x + 0.5) * old[1] / new[1] + 1e-9)
        assert value == old[1] * row + column


@given(st.integers(8, 40), st.integers(8, 40), st.data())
def test_image_resizing_keeps_a_ramp(h, w, data):
    """Half-pixel centres: the middle of the picture stays the middle, for the image as for the labels."""
    size = data.draw(st.tuples(st.integers(4, 40), st.integers(4, 40)))
    xs = torch.arange(w).expand(3, h, w) * 6
    out = resize_image(xs.to(torch.uint8), size).float() / 6
    centre = ((torch.arange(size[1]) + 0.5) * w / size[1] - 0.5).clamp(0, w - 1)
    inner = slice(1, -1)  # antialiasing sees half of its window at the border
    assert (out - centre)[..., inner].abs().max() < 0.25
    nearest = resize_sample({"image": xs.to(torch.uint8), "depth": xs[0] / 6}, size, {"depth": TOY["depth"]})["depth"]
    assert (out[0] - nearest)[..., inner].abs().max() <= 0.5 + 0.25


@given(samples, sizes)
def test_interpolated_normals_stay_unit(toy, size):
    tasks = {"normals": Interpolated(INFO)}
    out = resize_sample(toy, size, tasks)["normals"]
    plain = resize_sample(toy, size, {"normals": TOY["normals"]})["normals"]
    length = out.norm(dim=0)
    assert ((length - 1).abs().lt(1e-5) | length.eq(0)).all()
    assert not (length > 0)[(plain == 0).all(0)].any()
    zoomed = zoom_sample(toy, 1.5, tasks)["normals"].norm(dim=0)
    assert ((zoomed - 1).abs().lt(1e-5) | zoomed.eq(0)).all()


@given(sizes, sizes, st.integers(0, 99))
def test_no_boundary_is_lost_when_shrinking(old, new, seed):
    toy = sample(*old, seed)
    tasks = {"edges": Boundaries(INFO)}
    out = resize_sample(toy, new, tasks)["edges"]
    small = [n <= o for n, o in zip(new, old, strict=True)]
    if all(small):
        expected = torch.zeros(new, dtype=torch.bool)
        for y, x in (toy["edges"] == 1).nonzero().tolist():
            expected[(2 * y + 1) * new[0] // (2 * old[0]), (2 * x + 1) * new[1] // (2 * old[1])] = True
        assert torch.equal(out == 1, expected)
    assert bool((out == 1).any()) == bool((toy["edges"] == 1).any()) or not all(small)
    assert set(out.unique().tolist()) <= {0, 1, 255}


@given(st.integers(8, 40), st.integers(2, 8), st.data())
def test_a_thin_line_stays_one_pixel_thin(old, new, data):
    column = data.draw(st.integers(0, old - 1))
    edges = torch.zeros(old, old, dtype=torch.uint8)
    edges[:, column] = 1
    toy = {"image": torch.zeros(3, old, old, dtype=torch.uint8), "edges": edges}
    out = resize_sample(toy, (new, new), {"edges": Boundaries(INFO)})["edges"]
    assert out.sum(1).tolist() == [1] * new
    assert out.sum(0).max() == new
