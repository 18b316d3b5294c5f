"""Normals from depth: conformance vectors, geometry of known planes, masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.description import load
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.surface import camera_matrix, directions, erode, normals_from_depth
from mtlrepro.errors import SpecError
from mtlrepro.tasks.normals import Normals

INFO = DatasetInfo("street", ("normals",))
H, W = 6, 8
CAMERA = {"width": 8.0, "height": 6.0, "fx": 20.0, "fy": 20.0, "cx": 4.0, "cy": 3.0}
"""Principal point (3.5, 2.5) where the first pixel's centre is at 0."""


def _depth(dtype: torch.dtype = torch.float32) -> Tensor:
    v, u = np.mgrid[:H, :W].astype(float)
    return torch.tensor(10 + 0.5 * u + 0.25 * v + 0.3 * np.sin(1.3 * u) * np.cos(0.7 * v), dtype=dtype)


@pytest.mark.parametrize(
    ("rule", "at", "also", "mean"),
    [
        (
            "metric",
            (0.576384, 0.391485, 0.717301),
            (0.463473, 0.279218, 0.840970),
            (0.594740, 0.284471, 0.738829),
        ),
        (
            "released",
            (-0.560776, -0.371181, 0.740105),
            (-0.491730, -0.308878, 0.814123),
            (-0.591103, -0.283981, 0.745520),
        ),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_conformance(rule: str, at: tuple, also: tuple, mean: tuple, dtype: torch.dtype) -> None:
    k = camera_matrix(CAMERA, (H, W))
    inner = directions(_depth(dtype), k, rule)
    assert inner.shape == (3, H - 2, W - 2)
    torch.testing.assert_close(inner.mean((1, 2)), torch.tensor(mean, dtype=dtype), rtol=1e-4, atol=5e-7)
    normals = normals_from_depth(_depth(dtype), k, rule)
    assert normals.dtype == dtype
    torch.testing.assert_close(normals[:, 2, 3], torch.tensor(at, dtype=dtype), rtol=1e-4, atol=5e-7)
    torch.testing.assert_close(normals[:, 3, 5], torch.tensor(also, dtype=dtype), rtol=1e-4, atol=5e-7)


def test_conformance_of_the_mask_and_the_loss() -> None:
    """Two samples, one of them upside down and with a hole: 14 valid pixels, 1 - cosine averaged over them."""
    d = _depth()
    depth = torch.stack([d, 1.5 * d.flip(0)])
    valid = torch.ones(2, H, W, dtype=torch.bool)
    valid[0, 2, 6] = False
    normals = normals_from_depth(depth, camera_matrix(CAMERA, (H, W)), "released", valid)
    kept = (normals != 0).any(1)
    expected = torch.zeros(2, H, W, dtype=torch.bool)
    expected[0, 2:4, 2:5] = True
    expected[1, 2:4, 2:6] = True
    assert torch.equal(kept, expected)
    prediction = torch.from_numpy(np.random.RandomState(4).randn(2, 3, H, W).astype(np.float32))
    cosine = torch.nn.functional.cosine_similarity(prediction, normals, dim=1)
    assert float((1 - cosine)[kept].mean()) == pytest.approx(1.017852, rel=1e-4)


def test_one_sample_is_as_in_a_batch_and_a_third_sample_changes_no_axis() -> None:
    """Batches of three, where a product over the wrong axis would go unnoticed by its shape."""
    d, k = _depth(torch.float64), camera_matrix(CAMERA, (H, W))
    batch = torch.stack([d, 2 * d, d.flip(1)])
    for rule in ("released", "metric"):
        together = normals_from_depth(batch, k, rule)
        apart = torch.stack([normals_from_depth(one, k, rule) for one in batch])
        assert torch.equal(together, apart)
        with_cameras = normals_from_depth(batch, k.expand(3, 3, 3), rule)
        assert torch.equal(with_cameras, apart)


angles = st.floats(-0.9, 0.9)


@given(angles, angles, st.floats(2.0, 60.0), st.booleans())
def test_metric_normals_of_a_plane_are_the_planes(a: float, b: float, distance: float, wide: bool) -> None:
    """z = distance + a x + b y: the unit vector that faces the camera is (a, b, -1), up to its length."""
    size = (9, 16) if wide else (12, 7)
    camera = {"width": 160.0, "height": 90.0, "fx": 130.0, "fy": 140.0, "cx": 83.0, "cy": 44.0}
    k = camera_matrix(camera, size)
    v, u = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    x, y = (u.double() - k[0, 2]) / k[0, 0], (v.double() - k[1, 2]) / k[1, 1]
    depth = distance / (1 - a * x - b * y)
    assert float(depth.min()) > 0
    normals = normals_from_depth(depth, k, "metric")[:, 2:-2, 2:-2]
    unit = torch.tensor([a, b, 1.0], dtype=torch.float64) / math.sqrt(a * a + b * b + 1)
    torch.testing.assert_close(normals, unit[:, None, None].expand_as(normals), rtol=1e-6, atol=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_released_normals_are_of_the_inverse_depth(seed: int) -> None:
    """The same products of 65536 / (100 d + 1), found with rolled arrays in float64."""
    g = np.random.default_rng(seed)
    d = g.uniform(1, 90, (H, W))
    v, u = np.mgrid[:H, :W]
    z = 65536 / (100 * d + 1)
    p = np.stack([z * (u - 3.5) / 20, z * (v - 2.5) / 20, z])

    def step(w: int, h: int) -> np.ndarray:
        return np.roll(p, (-h, -w), (1, 2)) - p

    total = np.cross(step(1, 0), step(0, -1), axis=0) + np.cross(step(-1, 0), step(0, 1), axis=0)
    total += np.cross(step(1, 1), step(1, -1), axis=0) + np.cross(step(-1, -1), step(-1, 1), axis=0)
    unit = total / np.linalg.norm(total, axis=0)
    unit[2] = np.abs(unit[2])
    found = normals_from_depth(torch.from_numpy(d), camera_matrix(CAMERA, (H, W)), "released")
    np.testing.assert_allclose(found.numpy()[:, 2:-2, 2:-2], unit[:, 2:-2, 2:-2], atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_a_pixel_counts_if_nine_inner_pixels_do(seed: int) -> None:
    valid = np.random.default_rng(seed).random((7, 9)) > 0.1
    inner = valid.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    expected = np.zeros_like(valid)
    for y, x in np.ndindex(5, 7):
        expected[y + 1, x + 1] = inner[y : y + 3, x : x + 3].all()
    assert np.array_equal(erode(torch.from_numpy(valid)).numpy(), expected)


@pytest.mark.parametrize(
    ("key", "size", "degrees", "cosine"),
    [
        ("cityscapes", (512, 1024), 11.0, 0.036),
        ("synthia", (512, 1024), 7.9, 0.020),
        ("virtual_kitti2", (320, 1024), 7.0, 0.012),
    ],
)
def test_mirrored_labels_are_not_those_of_the_reference(
    key: str, size: tuple[int, int], degrees: float, cosine: float
) -> None:
    """The stated figures: a street, its labels mirrored, against labels made as if (W - u, H - v) were the camera."""
    camera = load(LAYOUTS / f"{key}.toml").camera
    k, full = camera_matrix(camera, size), (int(camera["height"]), int(camera["width"]))
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in size), indexing="ij")
    x, y = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    ground = torch.where(y > 0, 1.6 / y.clamp_min(1e-9), 60.0)
    depth = torch.minimum(ground, 6 / x.abs().clamp_min(1e-9)).clamp_max(60.0)
    k = camera_matrix(camera, full)
    ours = Normals(INFO).flip(normals_from_depth(depth, k, "released"))
    k[0, 2], k[1, 2] = full[1] - (k[0, 2] - 0.5) + 0.5, full[0] - (k[1, 2] - 0.5) + 0.5
    theirs = normals_from_depth(depth.flip(-1), k, "released")
    valid = (ours != 0).any(0) & (theirs != 0).any(0)
    half_chord = (ours - theirs).norm(dim=0)[valid] / 2
    assert float(torch.rad2deg(2 * torch.asin(half_chord.clamp_max(1))).mean()) == pytest.approx(degrees, abs=0.06)
    assert float(1 - (ours * theirs).sum(0)[valid].mean()) == pytest.approx(cosine, abs=6e-4)


def test_invalid_depth_has_no_normal_and_no_effect() -> None:
    d, k = _depth(), camera_matrix(CAMERA, (H, W))
    full = normals_from_depth(d, k, "metric")
    d[2, 2] = 0.0
    holed = normals_from_depth(d, k, "metric")
    lost = (holed == 0).all(0)
    assert lost[1:4, 1:4].all()
    assert torch.equal(holed[:, ~lost], full[:, ~lost])
    assert not torch.isnan(holed).any()


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(SpecError, match=r"unknown rule for normals 'metrik'\. Did you mean 'metric'"):
        normals_from_depth(_depth(), camera_matrix(CAMERA, (H, W)), "metrik")
