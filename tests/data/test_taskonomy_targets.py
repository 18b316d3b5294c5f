"""Taskonomy's maps on the rooms: oracles for each formula, validity, standardisation, untouched rooms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mtlrepro.data import dataset_info
from mtlrepro.data.scenes import taskonomy
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.scenes.render import trace
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.taskonomy import STANDARD, TaskonomyScenes

SIZE = (64, 96)
MAPS = ("occlusion", "reshading", "keypoints", "texture")


@pytest.fixture(scope="module")
def rooms() -> TaskonomyScenes:
    return TaskonomyScenes("train", SIZE, 32, classes=13)


def test_the_rooms_are_those_of_scenes_and_the_tasks_in_the_papers_order(rooms: TaskonomyScenes) -> None:
    plain = Scenes("train", SIZE, 4, classes=13)
    for i in range(4):
        assert all(torch.equal(rooms[i][k], v) for k, v in plain[i].items())
        assert set(rooms[i]) - set(plain[i]) == set(MAPS)
    info = dataset_info("scenes_taskonomy", (("classes", 13),))
    assert info.tasks == ("semseg", "depth", "normals", *MAPS)
    assert (info.name, len(info.class_names), info.inverse_depth) == ("scenes_taskonomy", 13, False)
    assert plain.info.tasks == ("semseg", "depth", "normals", "edges")
    assert plain.digest() != TaskonomyScenes("train", SIZE, 4, classes=13).digest()


def test_the_maps_are_nan_where_geometry_is_unknown_and_nowhere_else(rooms: TaskonomyScenes) -> None:
    for i in range(8):
        sample = rooms[i]
        hole = sample["depth"] == 0
        assert hole.any()
        for name in MAPS:
            label = sample[name]
            assert (label.dtype, tuple(label.shape)) == (torch.float32, SIZE)
            nan = hole if name in ("occlusion", "reshading") else torch.zeros_like(hole)
            assert torch.equal(label.isnan(), nan)


@pytest.mark.parametrize("size", [SIZE, (128, 160)])
def test_the_maps_have_mean_0_and_deviation_1_over_rooms(size: tuple[int, int], rooms: TaskonomyScenes) -> None:
    data = rooms if size == SIZE else TaskonomyScenes("val", size, 12)
    for name in MAPS:
        values = torch.cat([data[i][name].flatten() for i in range(len(data))])
        values = values[~values.isnan()]
        assert abs(float(values.mean())) < 0.25, name
        assert 0.75 < float(values.std()) < 1.25, name
        mean, deviation = STANDARD[name]
        assert float(values.min()) >= -mean / deviation - 1e-5, "the raw map is not negative"


def test_reshading_is_the_cosine_at_a_lamp_in_the_camera(rooms: TaskonomyScenes) -> None:
    sample = rooms[0]
    k, mean, deviation = sample["intrinsics"].double(), *STANDARD["reshading"]
    normals = sample["normals"].double()
    for y in range(0, SIZE[0], 5):
        for x in range(0, SIZE[1], 5):
            ray = torch.stack([(x + 0.5 - k[0, 2]) / k[0, 0], (y + 0.5 - k[1, 2]) / k[1, 1], k[2, 2]])
            cosine = max(0.0, float(-(normals[:, y, x] @ ray) / ray.norm()))
            if sample["depth"][y, x] > 0:
                assert float(sample["reshading"][y, x]) * deviation + mean == pytest.approx(cosine, abs=1e-5)


def test_occlusion_is_zero_on_any_plane_and_high_at_a_step() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    for slant in ((0.0, 0.0), (0.004, 0.0), (-0.002, 0.003)):
        plane = 1 / (0.4 + slant[0] * (x - 48) + slant[1] * (y - 32))
        assert float(taskonomy.occlusion(plane).max()) < 1e-4
    near, far = torch.full((64, 96), 2.0), torch.full((64, 96), 3.0)
    step = taskonomy.occlusion(torch.where(x < 48, near, far))
    assert float(step[:, 47:49].min()) > 0.55
    assert float(step[:, :45].max()) == float(step[:, 52:].max()) == 0.0
    fold = taskonomy.occlusion(2 + 0.02 * (x - 48).abs())
    assert 0.05 < float(fold[:, 48].mean()) < 0.6 * float(step[:, 48].mean())
    square = torch.where(x < 48, near, far)[:, 16:80]
    assert torch.equal(taskonomy.occlusion(square.T.contiguous()), taskonomy.occlusion(square).T), "both axes alike"


def test_occlusion_in_rooms_marks_depth_steps_between_things_and_spares_walls(rooms: TaskonomyScenes) -> None:
    at_steps, inside = [], []
    for i in range(8):
        raw = taskonomy.occlusion(rooms[i]["depth_dense"])
        scene, depth = layout(0, i), rooms[i]["depth_dense"]
        row = trace(scene, scene.cameras[0], *SIZE, torch.device("cpu")).row
        ratio = torch.maximum(depth[:, 1:] / depth[:, :-1], depth[:, :-1] / depth[:, 1:])
        at_steps.append(raw[:, :-1][ratio > 1.25])
        same = torch.nn.functional.max_pool2d(row[None, None].float(), 5, 1, 2)[0, 0] == row
        same &= -torch.nn.functional.max_pool2d(-row[None, None].float(), 5, 1, 2)[0, 0] == row
        flat = same & (_spread(rooms[i]["normals"]) < 1e-5)
        inside.append(raw[flat])
    assert float((torch.cat(at_steps) > 0.5).float().mean()) > 0.9
    assert len(torch.cat(inside)) > 5000
    assert float(torch.cat(inside).max()) < 0.01


def test_keypoints_and_texture_against_float64_by_loops() -> None:
    """A bright square: brute-force smoothing, gradients and eigenvalues at every pixel."""
    grey = torch.full((24, 30), 0.2)
    grey[8:16, 10:20] = 0.9
    texture, keypoints = taskonomy.texture(grey), taskonomy.keypoints(grey)
    g = _blur(grey.double().numpy())
    scale = 24 / 64
    dx = np.array([[scale * (_at(g, y, x + 1) - _at(g, y, x - 1)) / 2 for x in range(30)] for y in range(24)])
    dy = np.array([[scale * (_at(g, y + 1, x) - _at(g, y - 1, x)) / 2 for x in range(30)] for y in range(24)])
    tensor = np.stack([_blur(dx * dx), _blur(dx * dy), _blur(dx * dy), _blur(dy * dy)], -1).reshape(24, 30, 2, 2)
    least = np.linalg.eigvalsh(tensor)[..., 0].clip(0)
    # A root of a root: rounding of order 1e-9 in the eigenvalue shows as 5e-3 at most.
    np.testing.assert_allclose(keypoints.numpy(), least**0.25, atol=1e-2)
    np.testing.assert_allclose(texture.numpy(), np.hypot(dx, dy) ** 0.5, atol=1e-4)
    assert keypoints[8, 10] > 5 * keypoints[12, 10], "corners, not edges"
    assert texture[12, 10] > 0.1 > float(texture[12, 15])
    assert float(taskonomy.texture(torch.full((20, 20), 0.5)).max()) == 0.0


def test_maps_of_a_larger_picture_are_as_strong() -> None:
    """The same step, four times as large: edges are four times as wide and as high."""
    for make in (taskonomy.texture, taskonomy.occlusion):
        peaks = []
        for size in (64, 256):
            step = torch.full((size, size), 0.3)
            step[:, size // 2 :] = 0.7
            peaks.append(float(make(step).max()))
        assert peaks[1] == pytest.approx(peaks[0], rel=0.25)
        assert not math.isnan(peaks[0])


def _spread(normals: Tensor) -> Tensor:
    """Largest difference to the normals within two pixels."""
    padded = torch.nn.functional.pad(normals[None], (2, 2, 2, 2), mode="replicate")[0]
    height, width = normals.shape[1:]
    shifts = [padded[:, j : j + height, i : i + width] for j in range(5) for i in range(5)]
    return torch.stack([(s - normals).abs().amax(0) for s in shifts]).amax(0)


def _at(values: np.ndarray, y: int, x: int) -> float:
    return float(values[min(max(y, 0), values.shape[0] - 1), min(max(x, 0), values.shape[1] - 1)])


def _blur(values: np.ndarray) -> np.ndarray:
    out = np.zeros_like(values)
    for y, x in np.ndindex(*values.shape):
        out[y, x] = sum(
            (2 - abs(j)) * (2 - abs(i)) / 16 * _at(values, y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)
        )
    return out
