"""The embedded streets: exact labels, stereo's blind spots, sunlight, determinism, and a mixture that can be learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mtlrepro.data import dataset_info, find_dataset
from mtlrepro.data.sample import Dataset
from mtlrepro.data.scenes import daylight, render
from mtlrepro.data.scenes.camera import KINECT
from mtlrepro.data.scenes.generated import FIRST_INDEX
from mtlrepro.data.scenes.primitives import Kit, Material
from mtlrepro.data.scenes.scene import Daylight, Scene
from mtlrepro.data.scenes.sheet import GAP, TITLE, contact_sheet
from mtlrepro.data.scenes.streets import view
from mtlrepro.data.scenes.streets.classes import CITYSCAPES7, FLAT, SKY
from mtlrepro.data.scenes.streets.dataset import Streets
from mtlrepro.data.scenes.streets.layout import layout
from mtlrepro.data.scenes.streets.sample import render as render_street
from mtlrepro.data.scenes.taskonomy import TaskonomyScenes
from mtlrepro.errors import SpecError
from mtlrepro.tasks import make_tasks

SIZE = (48, 96)
COUNT = 24
CPU = torch.device("cpu")
PER_METRE = 2262.52 * 0.209313 * 256 / 65535
"""Inverse depth times metres: focal length × baseline of Cityscapes, in the units of its files."""


@pytest.fixture(scope="module")
def streets() -> Streets:
    dataset = Streets("train", SIZE, COUNT)
    for i in range(len(dataset)):
        assert dataset[i] is dataset[i]
    return dataset


def test_shapes_dtypes_and_targets(streets: Streets) -> None:
    expected = {
        "image": (torch.uint8, (3, *SIZE)),
        "semseg": (torch.uint8, SIZE),
        "depth": (torch.float32, SIZE),
        "normals": (torch.float32, (3, *SIZE)),
        "intrinsics": (torch.float32, (3, 3)),
        "pose": (torch.float32, (4, 4)),
    }
    assert {k: (v.dtype, tuple(v.shape)) for k, v in streets[0].items()} == expected
    assert isinstance(streets, Dataset)
    info = dataset_info("streets")
    assert (info.tasks, info.inverse_depth, info.max_depth) == (("semseg", "depth"), True, 0.5)
    assert len(info.palette) == len(info.class_names) == 7
    for name, task in make_tasks(info.tasks, info).items():
        assert task.collate(streets[0][name]).shape[-2:] == SIZE
    folder = find_dataset("streets")
    assert (folder / "layout.py").is_file()  # type: ignore[operator]


def test_the_same_street_is_the_same_bits_in_any_order_and_with_any_thread_count(streets: Streets) -> None:
    torch.manual_seed(123)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        for i in (1, 0):
            again = Streets("train", SIZE, 2)[i]
            assert all(torch.equal(again[k], streets[i][k]) for k in streets[i])


@pytest.mark.parametrize("cls", [Streets, TaskonomyScenes])
def test_splits_and_seeds_share_no_scene(cls: type) -> None:
    sets = [cls("train", (8, 16), 3), cls("val", (8, 16), 3), cls("train", (8, 16), 3, seed=1)]
    images = {d[i]["image"].numpy().tobytes() for d in sets for i in range(3)}
    assert len(images) == 9
    assert len({d.digest() for d in [*sets, cls("train", (8, 16), 4)]}) == 4
    assert sets[0].digest() == cls("train", (8, 16), 3).digest()
    assert max(FIRST_INDEX.values()) - min(FIRST_INDEX.values()) >= 1_000_000
    with pytest.raises(IndexError):
        sets[0][3]
    with pytest.raises(SpecError, match="unknown split 'test'"):
        cls("test", (8, 16), 1)


def test_every_class_is_common_and_none_dominates(streets: Streets) -> None:
    counts = np.stack([np.bincount(streets[i]["semseg"].flatten().numpy(), minlength=7) for i in range(COUNT)])
    assert counts.shape == (COUNT, len(CITYSCAPES7)), "no other id"
    assert ((counts > 0).mean(0) >= 0.8).all()
    share = counts.sum(0) / counts.sum()
    assert share.max() < 0.5
    assert share.min() > 0.005


def test_position_alone_does_not_give_the_labels(streets: Streets) -> None:
    """The majority class by position, fitted on 16 streets and tried on 8 others."""
    ids = torch.stack([streets[i]["semseg"] for i in range(COUNT)]).long()
    votes = torch.nn.functional.one_hot(ids[:16], 7).sum(0)
    guess, truth = votes.argmax(-1).expand(8, *SIZE), ids[16:]
    iou = [float(((guess == c) & (truth == c)).sum() / ((guess == c) | (truth == c)).sum()) for c in range(7)]
    assert np.mean(iou) < 0.35


def test_inverse_depth_times_depth_is_one_constant(streets: Streets) -> None:
    blind = []
    for i in range(12):
        sample, scene = streets[i], layout(0, i)
        z = render.trace(scene, scene.cameras[0], *SIZE, CPU).depth
        inverse, sky = sample["depth"], sample["semseg"] == SKY
        valid = inverse > 0
        torch.testing.assert_close((inverse * z)[valid], torch.full_like(z, PER_METRE)[valid], rtol=1e-5, atol=0)
        assert 0 <= float(inverse.min()) <= float(inverse.max()) <= 0.4923
        assert not valid[sky | (z > 200)].any()
        blind.append(float((~valid)[~sky].float().mean()))
    assert 0.05 < np.mean(blind) < 0.2
    assert 0.46 < PER_METRE / 4 < 0.465


def test_what_the_right_camera_does_not_see_has_no_depth(streets: Streets) -> None:
    """Brute force along rows: a pixel is hidden if one to its right lands at or left of it in the other picture."""
    hidden = 0
    for i in range(3):
        scene = layout(0, i)
        z = render.trace(scene, scene.cameras[0], *SIZE, CPU).depth.double().numpy()
        lands = np.arange(SIZE[1]) - 2262.52 * SIZE[1] / 2048 * 0.209313 / z
        for y, x in np.ndindex(*SIZE):
            margin = (lands[y, x + 1 :] - lands[y, x]).min(initial=1.0)
            if margin < -1e-4 or lands[y, x] < -1.001:
                hidden += 1
                assert streets[i]["depth"][y, x] == 0
    assert hidden > 100


def test_points_of_flat_things_lie_on_the_ground(streets: Streets) -> None:
    """Depth, intrinsics and pose together: roads and pavements are 0 to 14 cm high wherever they are seen."""
    for i in range(8):
        sample = streets[i]
        k, pose = sample["intrinsics"], sample["pose"]
        chosen = (sample["semseg"] == FLAT) & (sample["depth"] > PER_METRE / 40)
        assert chosen.sum() > 300
        y, x = torch.nonzero(chosen, as_tuple=True)
        z = PER_METRE / sample["depth"][chosen]
        local = torch.stack([(x + 0.5 - k[0, 2]) / k[0, 0] * z, (y + 0.5 - k[1, 2]) / k[1, 1] * z, z])
        height = (pose[:3, :3] @ local + pose[:3, 3:])[2]
        assert -0.04 < float(height.min()) <= float(height.max()) < 0.15
        assert 1.2 <= float(pose[2, 3]) <= 1.5


def test_normals_are_unit_face_the_camera_and_agree_with_the_points(streets: Streets) -> None:
    for i in range(6):
        sample, scene = streets[i], layout(0, i)
        surface = render.trace(scene, scene.cameras[0], *SIZE, CPU)
        n, sky = sample["normals"], sample["semseg"] == SKY
        torch.testing.assert_close(n.norm(dim=0), (~sky).float())
        points = _points(surface.depth, sample["intrinsics"])
        assert float((n * points).sum(0).max()) <= 1e-3
        right, down = points[:, :-1, 1:] - points[:, :-1, :-1], points[:, 1:, :-1] - points[:, :-1, :-1]
        cross = torch.nn.functional.normalize(torch.linalg.cross(down, right, dim=0), dim=0)
        row, here = surface.row, n[:, :-1, :-1]
        smooth = (row[:-1, :-1] == row[:-1, 1:]) & (row[:-1, :-1] == row[1:, :-1]) & ~sky[:-1, :-1]
        smooth &= ((here * n[:, :-1, 1:]).sum(0) > 0.9999) & ((here * n[:, 1:, :-1]).sum(0) > 0.9999)
        smooth &= surface.depth[:-1, :-1] < 80
        agreement = (cross * here).sum(0)[smooth]
        assert len(agreement) > 500
        assert float((agreement > 0.99).float().mean()) > 0.98


def test_what_is_left_out_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither leaving out primitives beyond the picture, nor skipping hidden ones, changes a pixel."""
    monkeypatch.setattr(view, "TINY", 0.0)
    quick = [render_street(layout(0, i), 48, 72, seed=i) for i in range(2)]
    sizes = [len(layout(0, i).rows) for i in range(2)]
    monkeypatch.setattr(view, "_outside", lambda points, radius: np.zeros(points.shape[1], bool))
    monkeypatch.setattr(render, "HIDDEN", 0.0)
    for i in range(2):
        scene = layout(0, i)
        assert len(scene.rows) > sizes[i]
        slow = render_street(scene, 48, 72, seed=i)
        assert all(torch.equal(quick[i][k], slow[k]) for k in slow)


def test_shadows_are_where_the_ray_to_the_sun_is_blocked() -> None:
    """Against slab and sphere tests in float64, on a ground with a box and a ball."""
    kit = Kit()
    white = Material(0, ((0.5,) * 3,) * 3)
    kit.casts = False
    kit.slab(white, -50, 50, -5, 60, -1, 0)
    kit.casts = True
    kit.slab(white, -3, -1, 8, 12, 0, 3)
    kit.ball(white, (2.0, 10.0, 2.0), (2.0, 2.0, 2.0))
    sun = np.array([0.48, 0.36, 0.8])
    scene = _outdoors(kit, sun)
    surface = render.trace(scene, scene.cameras[0], 90, 120, CPU)
    blocked = daylight._blocked(scene, _light(scene), surface)
    points = np.stack([(p + n * daylight.BIAS)[daylight.COARSE].double().numpy().ravel() for p, n in _pairs(surface)])
    low, high = np.array([[-3, 8, 0]]).T, np.array([[-1, 12, 3]]).T
    enter, leave = [f((low - points) / sun[:, None], (high - points) / sun[:, None]) for f in (np.minimum, np.maximum)]
    in_box = (enter.max(0) < leave.min(0)) & (enter.max(0) > 0)
    away = points - np.array([[2.0, 10.0, 2.0]]).T
    b = (away * sun[:, None]).sum(0)
    square = b * b - ((away * away).sum(0) - 1.0)
    in_ball = (square > 0) & (-b - np.sqrt(np.maximum(square, 0)) > 0)
    expected = (in_box | in_ball).reshape(blocked.shape)
    assert 0.02 < expected.mean() < 0.5
    assert (blocked.numpy() == expected).mean() > 0.997

    lit = daylight.sunlight(scene, _light(scene), surface, torch.zeros_like(surface.depth))
    ground = (surface.point[2].abs() < 1e-3) & (surface.depth < 5)
    torch.testing.assert_close(lit[0][ground], torch.full_like(lit[0][ground], 0.8 * 2.0), rtol=1e-4, atol=1e-4)
    assert ground.sum() > 500
    assert float(torch.stack(lit[3:]).max()) == 0.0, "nothing glossy, no highlight"


def test_haze_hides_half_at_its_reach() -> None:
    blank = torch.zeros(1, 2)
    ways = tuple(torch.full((1, 2), c) for c in (0.6, 0.8, 1.0))
    depth = torch.tensor([[0.0, 300.0]])
    surface = render.Surface(depth, blank, [blank] * 3, [blank] * 3, blank, blank, blank, direction=ways)
    light = Daylight((0.0, 0.0, 1.0), (1.0,) * 3, (0.5, 0.6, 0.7), 300.0 * 2**0.5)
    seen = daylight.haze(light, surface, torch.tensor([[0.1, 0.1]]), 2)
    torch.testing.assert_close(seen, torch.tensor([[0.1, 0.4]]))


def test_a_contact_sheet_has_a_column_a_task(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "streets.png", n=2, size=(16, 32), name="streets")
    with Image.open(tmp_path / "streets.png") as sheet:
        assert sheet.size == (3 * (32 + GAP) - GAP, TITLE + 2 * (16 + GAP) - GAP)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_street() -> None:
    cpu, gpu = (render_street(layout(0, 0), *SIZE, device=d) for d in ("cpu", "cuda"))
    assert float((cpu["semseg"] == gpu["semseg"].cpu()).float().mean()) > 0.999
    assert float((cpu["depth"] - gpu["depth"].cpu()).abs().mean()) < 1e-3


def _outdoors(kit: Kit, sun: np.ndarray) -> Scene:
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)  # right, down and forward as columns
    pose[:3, 3] = (0.0, 0.0, 1.8)
    light = Daylight(tuple(sun.tolist()), (2.0, 2.0, 2.0), (0.3, 0.3, 0.3), 500.0)
    return Scene(
        rows=np.array(kit.rows).reshape(len(kit.rows), -1),
        materials=tuple(kit.materials),
        room=(0.0, 0.0, 0.0),
        lights=np.zeros((0, 6)),
        ambient=(0.2, 0.2, 0.2),
        cameras=pose[None],
        exposure=1.0,
        tint=(1.0, 1.0, 1.0),
        noise=0.0,
        vignette=0.0,
        lens=KINECT,
        daylight=light,
    )


def _light(scene: Scene) -> Daylight:
    assert scene.daylight is not None
    return scene.daylight


def _pairs(surface: render.Surface) -> zip[tuple[Tensor, Tensor]]:
    return zip(surface.point, surface.normal, strict=True)


def _points(depth: Tensor, k: Tensor) -> Tensor:
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([(x - k[0, 2]) / k[0, 0] * depth, (y - k[1, 2]) / k[1, 1] * depth, depth])
