"""Streets for datasets on disk: fine classes, metric depth, other lenses, a camera that drives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtlrepro.data.scenes.camera import Lens, intrinsics
from mtlrepro.data.scenes.streets.capture import FARTHEST, capture, motion
from mtlrepro.data.scenes.streets.classes import CLOUD, ROAD, SKY, THINGS
from mtlrepro.data.scenes.streets.labels import BASELINE, FAR
from mtlrepro.data.scenes.streets.layout import layout
from mtlrepro.data.scenes.streets.sample import render
from mtlrepro.data.scenes.streets.view import CITYSCAPES, SYNTHIA, VIRTUAL_KITTI

SIZE = (48, 96)
CATEGORIES = torch.tensor(list(THINGS.values()))


def test_every_primitive_is_a_thing_of_its_category_and_every_thing_is_somewhere() -> None:
    seen = set()
    for i in range(40):
        rows = layout(0, i).rows
        things = rows[:, 19].astype(int)
        assert np.array_equal(CATEGORIES.numpy()[things], rows[:, 17].astype(int))
        seen |= set(things.tolist())
    assert seen == set(range(len(THINGS)))


def test_a_capture_shows_the_sample_of_the_street() -> None:
    for i in range(4):
        scene = layout(0, i)
        sample, found = render(scene, *SIZE, seed=i), capture(scene, *SIZE, seed=i)
        assert torch.equal(found.image, sample["image"])
        assert torch.equal(CATEGORIES[found.things.long()], sample["semseg"].long())
        assert torch.equal(found.disparity > 0, sample["depth"] > 0)
        np.testing.assert_array_equal(found.intrinsics.astype(np.float32), sample["intrinsics"].numpy())
        np.testing.assert_array_equal(found.pose.astype(np.float32), sample["pose"].numpy())


def test_depth_is_metres_everywhere_and_disparity_is_its_inverse() -> None:
    for i in range(4):
        found = capture(layout(0, i), *SIZE, seed=i)
        sky = found.things == CLOUD
        assert torch.equal(sky, CATEGORIES[found.things.long()] == SKY)
        assert torch.equal(found.depth[sky], torch.full_like(found.depth[sky], FARTHEST))
        assert 0.5 < float(found.depth.min()) <= float(found.depth.max()) <= FARTHEST
        valid = found.disparity > 0
        assert float(found.depth[valid].max()) <= FAR
        product = (found.disparity * found.depth)[valid] / (2262.52 * SIZE[1] / 2048 * BASELINE)
        torch.testing.assert_close(product, torch.ones_like(product))


def test_further_cameras_change_nothing_in_the_first_picture() -> None:
    for i in range(4):
        alone, first = layout(0, i), layout(0, i, drive=(-0.8, 0.8))
        assert len(first.cameras) == 3
        assert len(first.rows) >= len(alone.rows)
        a, b = capture(alone, *SIZE, seed=i), capture(first, *SIZE, seed=i)
        for what in ("image", "things", "depth", "disparity"):
            assert torch.equal(getattr(a, what), getattr(b, what))


def test_the_car_drives_along_its_lane() -> None:
    for i in range(12):
        scene = layout(0, i, drive=(2.0, -2.0))
        start, ahead, behind = scene.cameras
        assert np.allclose(scene.cameras[:, 2, 3], start[2, 3])
        for pose, sign in ((ahead, 1), (behind, -1)):
            assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
            step = pose[:3, 3] - start[:3, 3]
            assert 1.9 < np.linalg.norm(step) < 2.1  # the lane is inside or outside of a bend
            assert sign * step @ start[:3, 2] > 1.9
        turns = [start[:3, :3].T @ pose[:3, :3] for pose in (ahead, behind)]
        assert np.allclose(turns[0] @ turns[1], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("step", [1, 2])
def test_depth_and_motion_take_points_to_where_the_other_camera_sees_them(step: int) -> None:
    shares = []
    for i in range(5):
        scene = layout(0, i, drive=(-0.7, 0.7))
        here, there = capture(scene, 96, 192, seed=i), capture(scene, 96, 192, view=step, seed=i)
        k = torch.from_numpy(here.intrinsics)
        v, u = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(192) + 0.5, indexing="ij")
        near = here.depth < 60
        z = here.depth[near].double()
        x, y = (u[near] - k[0, 2]) / k[0, 0] * z, (v[near] - k[1, 2]) / k[1, 1] * z
        points = torch.from_numpy(motion(scene, step)) @ torch.stack([x, y, z, torch.ones_like(z)])
        column = (points[0] / points[2] * k[0, 0] + k[0, 2]).floor().long()
        row = (points[1] / points[2] * k[1, 1] + k[1, 2]).floor().long()
        inside = (column >= 0) & (column < 192) & (row >= 0) & (row < 96)
        seen = there.depth[row[inside], column[inside]].double()
        same = there.things[row[inside], column[inside]] == here.things[near][inside]
        close = ((seen - points[2][inside]).abs() < 0.05 * seen) & same
        shares.append(float(close.double().mean()))
        wrong = ((seen - z[inside]).abs() < 0.01 * seen) & (here.things[near][inside] == ROAD)
        assert float(wrong.double().mean()) < 0.2, "standing still would not do"
    assert min(shares) > 0.85


@pytest.mark.parametrize("lens", [VIRTUAL_KITTI, SYNTHIA])
def test_a_wide_lens_sees_no_hole_in_the_world(lens: Lens) -> None:
    """Where no primitive is hit the renderer puts a depth of 20 m exactly."""
    for i in range(8):
        found = capture(layout(0, i, lens), 40, 96, seed=i)
        assert not (found.depth == 20.0).any()
        assert (found.things == CLOUD).any()


def test_the_renderers_cameras_are_those_of_the_releases() -> None:
    np.testing.assert_allclose(
        intrinsics(VIRTUAL_KITTI, 375, 1242), np.array([[725.0087, 0, 621], [0, 725.0087, 187.5], [0, 0, 1]])
    )
    np.testing.assert_allclose(
        intrinsics(SYNTHIA, 760, 1280), np.array([[532.740352, 0, 640], [0, 532.740352, 380], [0, 0, 1]])
    )
    np.testing.assert_allclose(intrinsics(CITYSCAPES, 1024, 2048)[0, 0], 2262.52)
