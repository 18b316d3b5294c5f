"""Rotation and scaling about the centre: published figures, a direct evaluation, borders and vectors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, sample, unit_or_zero

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.transforms.affine import cubic_weights, rotate_sample
from mtlrepro.tasks import make_tasks

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
angles = st.floats(-20, 20)
scales = st.floats(0.75, 1.5)


def ramp(h=6, w=8, first=0):
    return (torch.arange(h * w) + first).view(h, w)


# published figures


@pytest.mark.parametrize(
    ("scale", "rows"),
    [
        (
            1.5,
            [
                [9, 10, 11, 11, 12, 13, 13, 14],
                *[[17, 18, 19, 19, 20, 21, 21, 22]] * 2,
                [25, 26, 27, 27, 28, 29, 29, 30],
                *[[33, 34, 35, 35, 36, 37, 37, 38]] * 2,
            ],
        ),
        (1.2, [[1, 2, 2, 3, 4, 5, 6, 6], None, None, None, None, [41, 42, 42, 43, 44, 45, 46, 46]]),
    ],
)
def test_nearest_pixels_of_opencv(scale, rows):
    toy = {**sample(6, 8), "semseg": ramp().to(torch.uint8)}
    out = rotate_sample(toy, 0.0, scale, {"semseg": TOY["semseg"]})["semseg"]
    for found, expected in zip(out.tolist(), rows, strict=True):
        assert expected is None or found == expected


def test_depth_is_divided():
    toy = {**sample(6, 8), "depth": ramp(first=1).float()}
    out = rotate_sample(toy, 0.0, 1.5, {"depth": TOY["depth"]})["depth"]
    assert out[0].tolist() == pytest.approx([6.6667, 7.3333, 8, 8, 8.6667, 9.3333, 9.3333, 10], abs=1e-4)


def test_cubic_interpolation_of_opencv():
    toy = {"image": ramp(first=1).float().expand(3, 6, 8) / 64}
    out = rotate_sample(toy, 0.0, 1.5, {})["image"][0, 0] * 64
    assert out.tolist() == pytest.approx([10.3704, 11, 11.6296, 12.3704, 13, 13.6296, 14.3704, 15], abs=5e-5)


@pytest.mark.parametrize(
    ("degrees", "scale", "rows"),
    [(0, 1.5, [[1.5, 0, -2], [0, 1.5, -1.5]]), (20, 1, [[0.93969, 0.34202, -0.78483], [-0.34202, 0.93969, 1.549]])],
)
def test_the_matrix_of_opencv(degrees, scale, rows):
    """It maps pixel numbers; intrinsics map to coordinates, in which the first pixel's centre is at one half."""
    toy = {"image": torch.zeros(3, 6, 8), "intrinsics": torch.eye(3)}
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    half = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = half.inverse() @ rotate_sample(toy, degrees, scale, {})["intrinsics"] @ turn @ half
    assert torch.allclose(matrix[:2], torch.tensor(rows).float(), atol=2e-5)


@pytest.mark.parametrize(
    ("before", "after"), [((0.6, 0, 0.8), (0.5638, -0.2052, 0.8)), ((0.48, 0.36, 0.8), (0.5742, 0.1741, 0.8))]
)
def test_normals_turn_with_the_picture(before, after):
    toy = {"image": torch.zeros(3, 9, 9), "normals": torch.tensor(before).view(3, 1, 1).expand(3, 9, 9)}
    out = rotate_sample(toy, 20.0, 1.2, {"normals": TOY["normals"]})["normals"]
    assert out[:, 4, 4].tolist() == pytest.approx(after, abs=5e-5)


# a direct evaluation


def kernel(d):
    d = abs(d)
    if d <= 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def test_the_kernel():
    t = torch.linspace(0, 1, 33)[:-1]
    weights = torch.stack(cubic_weights(t), 1)
    expected = [[kernel(v + 1), kernel(v), kernel(1 - v), kernel(2 - v)] for v in t.tolist()]
    assert torch.allclose(weights.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(weights.sum(1), torch.ones(32), atol=1e-6)


@given(st.tuples(st.integers(2, 12), st.integers(2, 12)), angles, scales, st.integers(0, 9))
def test_every_pixel_reads_where_it_should(size, degrees, scale, seed):
    """In float64, pixel by pixel: a border of zeros without end, the cubic kernel, the nearest pixel."""
    h, w = size
    toy = sample(h, w, seed)
    out = rotate_sample(toy, degrees, scale, {"depth": TOY["depth"]})
    image, depth = toy["image"][0].double().numpy() / 255, toy["depth"].double().numpy()
    a, b = (math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale)
    for y, x in np.ndindex(h, w):
        u = a * (x - w / 2) - b * (y - h / 2) + w / 2
        v = b * (x - w / 2) + a * (y - h / 2) + h / 2
        value = sum(
            image[i, j] * kernel(v - i) * kernel(u - j)
            for i in range(max(math.floor(v) - 1, 0), min(math.floor(v) + 3, h))
            for j in range(max(math.floor(u) - 1, 0), min(math.floor(u) + 3, w))
        )
        assert out["image"][0, y, x].item() == pytest.approx(min(max(value, 0), 1), abs=5e-6)
        if all(abs(n - math.floor(n) - 0.5) > 1e-9 for n in (u, v)):
            row, column = round(v), round(u)
            inside = 0 <= row < h and 0 <= column < w
            assert out["depth"][y, x].item() == pytest.approx(depth[row, column] / scale if inside else 0, rel=1e-6)


# borders and vectors


@given(sizes, angles, scales, st.integers(0, 99))
def test_labels_stay_labels(size, degrees, scale, seed):
    toy = sample(*size, seed)
    before = {name: value.clone() for name, value in toy.items()}
    out = rotate_sample(toy, degrees, scale, TOY)
    assert all(torch.equal(toy[name], before[name]) for name in toy)
    assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in toy.items()}
    assert {k: v.dtype for k, v in out.items()} == {k: v.dtype for k, v in toy.items()} | {"image": torch.float32}
    assert unit_or_zero(out["normals"])
    assert 0 <= out["image"].min() <= out["image"].max() <= 1
    for name in ("semseg", "edges"):
        assert set(out[name].unique().tolist()) <= {0, *toy[name].unique().tolist()}
    for task_name, task in TOY.items():
        task.collate(out[task_name])


def test_beyond_the_border_is_background_or_invalid():
    tasks = TOY | make_tasks(("reshading",), DatasetInfo("toy", ("reshading",)))
    ones = torch.ones(12, 16, dtype=torch.uint8)
    toy = {
        "image": torch.full((3, 12, 16), 255, dtype=torch.uint8),
        "semseg": ones,
        "edges": ones,
        "depth": ones.float(),
        "reshading": ones.float(),
        "normals": torch.stack([0.0 * ones, 0.0 * ones, -1.0 * ones]),
    }
    out = rotate_sample(toy, 15.0, 0.75, tasks)
    outside = out["depth"] == 0
    assert 0.3 < outside.float().mean() < 0.5
    for name in ("semseg", "edges"):
        assert torch.equal(out[name], (~outside).to(torch.uint8))
    assert torch.equal(out["reshading"].isnan(), outside)
    assert torch.equal((out["normals"] == 0).all(0), outside)
    assert out["image"][:, 0, 0].tolist() == [0, 0, 0]
    assert torch.allclose(out["depth"][~outside], torch.tensor(1 / 0.75))


def test_a_label_without_a_valid_pixel_stays_so():
    toy = sample(9, 9) | {name: task.unlabelled((9, 9)) for name, task in TOY.items()}
    out = rotate_sample(toy, 15.0, 0.8, TOY)
    assert all(torch.equal(out[name], toy[name]) for name in TOY)


@given(sizes, st.integers(0, 99))
def test_no_rotation_at_scale_one_is_the_identity(size, seed):
    toy = sample(*size, seed)
    out = rotate_sample(toy, 0.0, 1.0, TOY)
    assert torch.allclose(out["image"], toy["image"] / 255, atol=1e-6)
    assert all(torch.allclose(out[name], toy[name], atol=1e-6) for name in TOY)
