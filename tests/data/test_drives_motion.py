"""Frames of the embedded drives: depth and motion carry what stands still, and what moves goes its own way."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.scenes.drives import layout as drives
from mtlrepro.data.scenes.drives.dataset import Drives
from mtlrepro.data.scenes.drives.layout import INTERVAL, Drive, layout
from mtlrepro.data.scenes.drives.traffic import DRIVING, PACE, RIDING, Mover
from mtlrepro.data.scenes.drives.worlds import STYLES
from mtlrepro.data.scenes.streets.capture import Capture, capture
from mtlrepro.data.scenes.streets.classes import THINGS
from mtlrepro.data.scenes.streets.road import Road

SIZE = (64, 128)
NAMES = tuple(THINGS)


def marked(style: str, index: int) -> Drive:
    """A drive whose objects are numbered by the mover that carries them, from 1; 0 stands still."""
    drive = layout(0, index, STYLES[style])
    rows = drive.start.rows.copy()
    rows[:, 18] = 0
    for number, mover in enumerate(drive.movers):
        rows[mover.first : mover.last, 18] = number + 1
    return replace(drive, start=replace(drive.start, rows=rows))


def seen(drive: Drive, step: int) -> Capture:
    return capture(drive.scene(SIZE[1], step), *SIZE)


def points_of(view: Capture) -> Tensor:
    """(4, H, W) float64 homogeneous camera coordinates of every pixel."""
    k, z = torch.from_numpy(view.intrinsics), view.depth.double()
    v, u = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    return torch.stack([(u - k[0, 2]) / k[0, 0] * z, (v - k[1, 2]) / k[1, 1] * z, z, torch.ones_like(z)])


def agreement(points: Tensor, view: Capture) -> Tensor:
    """(N,) depth that a view has where points (4, N) of its camera's coordinates are seen, over their own depth; NaN
    outside of the picture. Inverse depth is interpolated, which is exact on planes."""
    k = torch.from_numpy(view.intrinsics)
    column, row = (points[i] / points[2] * k[i, i] + k[i, 2] for i in range(2))
    grid = torch.stack([2 * column / SIZE[1] - 1, 2 * row / SIZE[0] - 1], -1)
    inverse = F.grid_sample(view.depth.double().reciprocal()[None, None], grid[None, None], align_corners=False)
    inside = (grid.abs() < 0.97).all(-1) & (points[2] > 0)
    return torch.where(inside, 1 / (inverse.flatten() * points[2]), math.nan)


def carried(road: Road, mover: Mover, seconds: float) -> np.ndarray:
    """(4, 4) world coordinates of a mover's points, now to then."""
    places = []
    for time in (0.0, seconds):
        x, y, turn = road.at(mover.s + mover.onward * time, mover.t + mover.across * time)
        place = np.eye(4)
        place[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        place[:2, 3] = x, y
        places.append(place)
    return places[1] @ np.linalg.inv(places[0])


@pytest.mark.parametrize("style", STYLES)
def test_points_land_where_the_frame_sees_them(style: str) -> None:
    """What stands still by the camera's motion; what moves only if its own motion is added."""
    still, alone, driven = [], [], []
    for index, step in ((0, 1), (1, -1), (2, 1), (3, -1)):
        drive = marked(style, index)
        here, there = seen(drive, 0), seen(drive, step)
        points, near = points_of(here), here.depth < 50
        motion = torch.from_numpy(np.linalg.inv(there.pose) @ here.pose)
        standing = near & (here.instances == 0)
        still.append(agreement(motion @ points[:, standing], there))
        for number in here.instances[near].unique().tolist():
            mover = drive.movers[number - 1]
            chosen = near & (here.instances == number)
            if number == 0 or int(chosen.sum()) < 30 or math.hypot(mover.onward, mover.across) < 3:
                continue
            own = carried(drive.road, mover, step * INTERVAL)
            moving = torch.from_numpy(np.linalg.inv(there.pose) @ own @ here.pose)
            alone.append(agreement(motion @ points[:, chosen], there))
            driven.append(agreement(moving @ points[:, chosen], there))

    def share(found: list[Tensor], error: float) -> float:
        ratio = torch.cat(found)
        ratio = ratio[~ratio.isnan()]
        assert len(ratio) > 500
        return float(((ratio - 1).abs() < error).double().mean())

    # Not all: some is hidden from the other frame, and edges of things lie between two pixels.
    assert share(still, 0.01) > 0.8
    assert share(still, 0.001) > 0.65
    assert share(driven, 0.01) > 0.7
    assert share(alone, 0.01) < 0.3


@pytest.mark.parametrize("style", STYLES)
def test_the_sample_tells_the_motion_and_the_depth_of_its_frames(style: str) -> None:
    dataset = Drives("train", SIZE, 2, style=style, frames=True)
    for index in range(2):
        sample, drive = dataset[index], layout(0, index, STYLES[style])
        for k, step in enumerate((-1, 1)):
            there, motion = seen(drive, step), sample["motion"][k]
            valid = sample["frame_depth"][k] > 0
            assert torch.equal(sample["frame_depth"][k][valid], there.depth[valid])
            assert bool(valid.all()) != STYLES[style].stereo
            torch.testing.assert_close(motion[:3, :3] @ motion[:3, :3].T, torch.eye(3), atol=1e-6, rtol=0)
            length = float(motion[:3, 3].norm()) / INTERVAL
            assert 0.97 * DRIVING[0] < length < 1.03 * DRIVING[1]
            assert -step * float(motion[2, 3]) > 0.95 * length * INTERVAL, "what is ahead comes nearer"
        assert len({sample["image"].float().std(), *(f.float().std() for f in sample["frames"])}) == 3


def test_speeds_are_those_of_their_kind_and_most_of_the_traffic_moves() -> None:
    limits = {
        **dict.fromkeys(("car", "van", "truck", "bus"), (0.7 * DRIVING[0], 1.2 * DRIVING[1])),
        **dict.fromkeys(("rider", "bicycle", "motorcycle"), RIDING),
        "person": PACE,
    }
    moving: dict[str, int] = dict.fromkeys(limits, 0)
    for style in STYLES.values():
        for index in range(8):
            drive = layout(1, index, style)
            for mover in drive.movers:
                things = {NAMES[int(t)] for t in drive.start.rows[mover.first : mover.last, 19]}
                assert things <= set(limits), "nothing else moves"
                speed = math.hypot(mover.onward, mover.across)
                for thing in things:
                    assert limits[thing][0] <= speed <= limits[thing][1]
                    moving[thing] += 1
                if "car" in things:
                    oncoming = mover.t < -drive.road.half + 0.2 + 3.3 * (drive.road.lanes // 2)
                    assert (mover.onward < 0) == oncoming
    assert min(moving.values()) >= 3, "of every kind"
    assert moving["car"] > 100


def test_who_moves_keeps_to_the_bends_of_the_road() -> None:
    drive = next(d for i in range(30) if abs((d := layout(0, i, STYLES["kitti"])).road.bend) > 0.004 and d.movers)
    later = drives.moved_rows(drive.start.rows, drive.movers, drive.road, 2.0)
    moved = np.zeros(len(later), bool)
    for mover in drive.movers:
        own = slice(mover.first, mover.last)
        moved[own] = True
        place = carried(drive.road, mover, 2.0)
        expected = drive.start.rows[own, 1:4] @ place[:3, :3].T + place[:3, 3]
        np.testing.assert_allclose(later[own, 1:4], expected, atol=1e-9)
        np.testing.assert_array_equal(later[own, [0]], drive.start.rows[own, [0]])
    np.testing.assert_array_equal(later[~moved], drive.start.rows[~moved])
    assert 0 < moved.sum() < len(moved) / 2


@pytest.mark.parametrize("style", STYLES)
def test_what_is_left_out_for_its_size_is_hardly_missed(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = layout(0, 1, STYLES[style])
    quick, rows = seen(drive, 0), len(drive.scene(SIZE[1]).rows)
    monkeypatch.setattr(drives, "SPECK", 0.0)
    monkeypatch.setattr(drives, "SHADELESS", 0.0)
    slow = seen(drive, 0)
    assert len(drive.scene(SIZE[1]).rows) > rows
    assert float((quick.things == slow.things).double().mean()) > 0.985
    assert float((quick.image.int() - slow.image.int()).abs().double().mean()) < 1.5
