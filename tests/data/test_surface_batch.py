"""Labels of normals of mirrored and cropped pictures, against a direct construction in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.description import load
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.surface import batch_normals, camera_matrix, normals_from_depth, released_camera
from mtlrepro.data.transforms.basic import flip_sample
from mtlrepro.data.transforms.cut import cut_sample
from mtlrepro.errors import SpecError
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.normals import Normals

INFO = DatasetInfo("street", ("depth", "normals"))
TASKS = make_tasks(INFO.tasks, INFO)
CAMERAS = {  # W, H, fx, fy, u, v; 0 is the centre of the first pixel
    "cityscapes": (2048, 1024, 2262.52, 2265.3017905988554, 1096.98, 513.137),
    "synthia": (1280, 760, 532.740352, 532.740352, 640.0, 380.0),
    "virtual_kitti2": (1242, 375, 725.0087, 725.0087, 620.5, 187.0),
}
every_camera = pytest.mark.parametrize("key", list(CAMERAS))


def sample(key: str, size: tuple[int, int], seed: int = 0) -> Sample:
    """A resized picture of a bumpy plane with holes and a little sky, with what a reader says of its camera."""
    g, (height, width) = np.random.default_rng(seed), size
    v, u = np.mgrid[:height, :width]
    depth = 8 + 0.02 * u + 0.05 * v + 0.1 * g.random(size)
    depth[: height // 8] = 655.35
    depth[g.random(size) < 0.01] = 0
    camera = load(LAYOUTS / f"{key}.toml").camera
    k = camera_matrix(camera, size)
    depth = torch.from_numpy(depth.astype("float32"))
    return {
        "image": torch.zeros(3, *size, dtype=torch.uint8),
        "depth": depth,
        "normals": normals_from_depth(depth, k.float(), "metric"),
        "intrinsics": k.float(),
        "placement": torch.tensor([width / camera["width"], height / camera["height"], 1.0]).diag(),
    }


def full_size(key: str) -> tuple[int, int]:
    return CAMERAS[key][1], CAMERAS[key][0]


def labels(one: Sample, key: str, rule: str = "released") -> Tensor:
    geometry = {name: one[name][None] for name in ("intrinsics", "placement")}
    return batch_normals(one["depth"][None, None], geometry, rule, full_size(key))[0]


def constructed(depth: Tensor, key: str, mirrored: bool, left: int, top: int) -> np.ndarray:
    """The reference's steps one by one in float64: inverse depth, full-resolution camera, mirrored in both axes."""
    d = depth.double().numpy()
    wide, high, fx, fy, u0, v0 = CAMERAS[key]
    if mirrored:
        u0, v0 = wide - u0, high - v0
    v, u = np.mgrid[: d.shape[0], : d.shape[1]]
    z = 65536 / (100 * d + 1)
    points = np.stack([z * (u - (u0 - left)) / fx, z * (v - (v0 - top)) / fy, z])

    def step(right: int, down: int) -> np.ndarray:
        return np.roll(points, (-down, -right), (1, 2)) - points

    pairs = (((1, 0), (0, -1)), ((-1, 0), (0, 1)), ((1, 1), (1, -1)), ((-1, -1), (-1, 1)))
    total = sum(np.cross(step(*first), step(*second), axis=0) for first, second in pairs)
    unit = total / np.linalg.norm(total, axis=0)
    unit[2] = np.abs(unit[2])
    inner = d > 0
    inner[[0, -1]] = inner[:, [0, -1]] = False
    kept = inner.copy()
    for down, right in np.ndindex(3, 3):
        kept &= np.roll(inner, (down - 1, right - 1), (0, 1))
    return np.where(kept, unit, 0)


@every_camera
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("place", [None, (0, 0), (7, 21), (16, 64)])
def test_labels_are_those_of_the_reference(key: str, mirrored: bool, place: tuple[int, int] | None) -> None:
    """Mirrored, then cut, as there."""
    one = sample(key, (48, 128))
    if mirrored:
        one = flip_sample(one, TASKS)
    if place is not None:
        one = cut_sample(one, place, (32, 64), TASKS)
    top, left = place or (0, 0)
    want = constructed(one["depth"], key, mirrored, left, top)
    got = labels(one, key).numpy()
    assert np.array_equal((got != 0).any(0), (want != 0).any(0))
    np.testing.assert_allclose(got, want, atol=2e-3)  # differences of points in float32
    precise = {**one, "depth": one["depth"].double()}
    np.testing.assert_allclose(labels(precise, key).numpy(), want, atol=2e-5)  # cameras are float32
    assert got[:, : 48 // 8 - 1, 10].any()  # the sky has normals in training


def test_published_camera_of_a_mirrored_crop() -> None:
    one = cut_sample(flip_sample(sample("cityscapes", (512, 1024)), TASKS), (0, 100), (512, 512), TASKS)
    k = released_camera(one["intrinsics"], one["placement"], full_size("cityscapes"))
    want = [[2262.52, 0, 851.02 + 0.5], [0, 2265.3017905988554, 510.863 + 0.5], [0, 0, 1]]
    torch.testing.assert_close(k, torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-3)


@settings(max_examples=40)
@given(
    key=st.sampled_from(sorted(CAMERAS)),
    size=st.tuples(st.integers(32, 512), st.integers(32, 1024)),
    left=st.integers(0, 16),
    top=st.integers(0, 16),
)
def test_released_camera(key: str, size: tuple[int, int], left: int, top: int) -> None:
    camera = load(LAYOUTS / f"{key}.toml").camera
    wide, high, fx, fy, u0, v0 = CAMERAS[key]
    blank = {"image": torch.zeros(3, *size, dtype=torch.uint8), "intrinsics": camera_matrix(camera, size)}
    blank["placement"] = torch.tensor([size[1] / wide, size[0] / high, 1.0], dtype=torch.float64).diag()
    part = (size[0] - 16, size[1] - 16)

    def found(one: Sample) -> list[float]:
        k = released_camera(one["intrinsics"], one["placement"], (high, wide))
        assert k[2].tolist() == [0, 0, 1]
        assert k[0, 1] == k[1, 0] == 0
        return [k[0, 0].item(), k[1, 1].item(), k[0, 2].item() - 0.5, k[1, 2].item() - 0.5]

    assert found(blank) == pytest.approx([fx, fy, u0, v0], abs=1e-6)
    mirrored = flip_sample(blank, {})
    assert found(mirrored) == pytest.approx([fx, fy, wide - u0, high - v0], abs=1e-6)
    assert found(cut_sample(blank, (top, left), part, {})) == pytest.approx([fx, fy, u0 - left, v0 - top], abs=1e-6)
    want = pytest.approx([fx, fy, wide - u0 - left, high - v0 - top], abs=1e-6)
    assert found(cut_sample(mirrored, (top, left), part, {})) == want
    # the same part of the picture, mirrored after it was cut
    early = cut_sample(blank, (top, 16 - left), part, {})
    assert found(flip_sample(early, {})) == want


@every_camera
def test_metric_labels_of_a_mirrored_plane_are_mirrored_labels(key: str) -> None:
    """Rough surfaces differ a little: the products take the corners right above and left below, not the other two."""
    one = sample(key, (48, 128))
    v, u = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    k = one["intrinsics"]
    x, y = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    one["depth"] = 8 / (1 - 0.3 * x + 0.2 * y).double()
    plain, mirrored = labels(one, key, "metric"), labels(flip_sample(one, TASKS), key, "metric")
    torch.testing.assert_close(mirrored, Normals(INFO).flip(plain), rtol=0, atol=1e-4)
    rough = sample(key, (48, 128))
    assert torch.equal(labels(rough, key, "metric"), rough["normals"])  # what a reader makes


def test_samples_of_a_batch_have_their_own_cameras() -> None:
    """Batches of three, where a product over the wrong axis would go unnoticed by its shape."""
    key, one = "synthia", sample("synthia", (24, 32))
    three = [one, flip_sample(one, TASKS), flip_sample(sample("synthia", (24, 32), seed=1), TASKS)]
    stacked = {name: torch.stack([s[name] for s in three]) for name in ("depth", "intrinsics", "placement")}
    together = batch_normals(stacked["depth"][:, None], stacked, "released", full_size(key))
    assert together.shape == (3, 3, 24, 32)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.stack([labels(s, key) for s in three]))
    assert not together.requires_grad
    with pytest.raises(SpecError, match=r"unknown rule for normals 'realeased'\. Did you mean 'released'"):
        batch_normals(stacked["depth"][:, None], stacked, "realeased", full_size(key))
