"""Rooms with a neighbouring frame: what it holds, which view it is, and where motion takes the points of the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mtlrepro.data.draws import Draws
from mtlrepro.data.scenes import pairs
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.scenes.pairs import COARSE, OVERLAP, partner, shared
from mtlrepro.data.scenes.render import trace
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.data.scenes.sheet import GAP, contact_sheet

SIZE = (96, 128)
CPU = torch.device("cpu")
LONELY = 120
"""A room of seed 0 of whose further views two show next to nothing of what the first one does."""


COUNT = 6


def frames(length: int = COUNT, size: tuple[int, int] = SIZE, **options: int) -> Scenes:
    return Scenes("train", size, length, frames=True, **options)


@pytest.fixture(scope="module")
def rooms() -> Scenes:
    return frames()


def view_of(dataset: Scenes, index: int) -> int:
    """Which camera took a sample's frame, by its motion."""
    cameras, motion = layout(dataset.seed, index).cameras, dataset[index]["motion"][0].double().numpy()
    found = [i for i in (1, 2, 3) if np.allclose(cameras[i] @ motion, cameras[0], atol=1e-5)]
    assert len(found) == 1
    return found[0]


def overlap(scene: Scene, other: int) -> float:
    here, there = (trace(scene, scene.cameras[i], *COARSE, CPU) for i in (0, other))
    return shared(scene, here, there, scene.cameras[other])


def points(sample: dict[str, Tensor]) -> Tensor:
    """(4, H, W) float64 homogeneous camera coordinates of every pixel without holes filled."""
    k, z = sample["intrinsics"].double(), sample["depth_dense"].double()
    v, u = torch.meshgrid(torch.arange(z.shape[0]) + 0.5, torch.arange(z.shape[1]) + 0.5, indexing="ij")
    return torch.stack([(u - k[0, 2]) / k[0, 0] * z, (v - k[1, 2]) / k[1, 1] * z, z, torch.ones_like(z)])


def test_a_sample_is_the_plain_one_and_its_frame(rooms: Scenes) -> None:
    plain = Scenes("train", SIZE, COUNT)
    for i in range(3):
        sample = rooms[i]
        assert all(torch.equal(sample[name], value) for name, value in plain[i].items())
        assert {name: (sample[name].dtype, tuple(sample[name].shape)) for name in sample.keys() - plain[i].keys()} == {
            "frames": (torch.uint8, (1, 3, *SIZE)),
            "frame_depth": (torch.float32, (1, *SIZE)),
            "motion": (torch.float32, (1, 4, 4)),
        }
        other = render(layout(0, i), *SIZE, view=view_of(rooms, i), seed=i)
        assert torch.equal(sample["frames"][0], other["image"])
        assert torch.equal(sample["frame_depth"][0], other["depth"])
        assert bool((sample["frame_depth"] == 0).any()), "holes"
    assert plain.digest() != rooms.digest()
    assert plain.info == rooms.info


def test_points_moved_by_motion_lie_on_the_frames_surface(rooms: Scenes) -> None:
    errors, seen = [], []
    for i in range(COUNT):
        sample = rooms[i]
        k, motion = sample["intrinsics"].double(), sample["motion"][0].double()
        moved = motion @ points(sample).flatten(1)
        column, row = (moved[:2] / moved[2] * k.diagonal()[:2, None] + k[:2, 2:]).floor().long()
        inside = (moved[2] > 0.1) & (column >= 0) & (row >= 0) & (column < SIZE[1]) & (row < SIZE[0])
        seen.append(float(inside.double().mean()))
        there = sample["frame_depth"][0].double()[row[inside], column[inside]]
        ratio = (moved[2, inside] / there)[there > 0]
        errors.append((ratio - 1)[ratio < 1.05].abs())  # what lies behind the surface is hidden from the frame
    error = torch.cat(errors)
    assert min(seen) > OVERLAP
    assert len(error) > 0.6 * COUNT * SIZE[0] * SIZE[1]
    assert float(error.median()) < 0.005
    assert float((error < 0.03).double().mean()) > 0.9


def test_motion_is_that_of_cameras_less_than_half_a_metre_apart(rooms: Scenes) -> None:
    for i in range(COUNT):
        motion = rooms[i]["motion"][0]
        torch.testing.assert_close(motion[:3, :3] @ motion[:3, :3].T, torch.eye(3), atol=1e-6, rtol=0)
        assert torch.equal(motion[3], torch.tensor([0.0, 0.0, 0.0, 1.0]))
        assert 0.02 < float(motion[:3, 3].norm()) < 0.5


def test_the_partner_is_drawn_once_and_for_all(rooms: Scenes) -> None:
    again, small, other = frames(3), frames(12, (16, 24)), frames(12, (16, 24), seed=1)
    for i in reversed(range(3)):
        assert all(torch.equal(again[i][name], value) for name, value in rooms[i].items())
    assert [view_of(small, i) for i in range(COUNT)] == [view_of(rooms, i) for i in range(COUNT)]
    views, others = ([view_of(dataset, i) for i in range(12)] for dataset in (small, other))
    assert set(views) == {1, 2, 3}
    assert views != others


def test_every_other_view_is_as_likely() -> None:
    scene = layout(0, 0)
    assert all(overlap(scene, other) >= OVERLAP for other in (1, 2, 3))
    drawn = [partner(scene, Draws("test", i)) for i in range(60)]
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 10


def test_a_partner_shares_enough_of_the_view_or_is_nearest(monkeypatch) -> None:
    scene = layout(0, LONELY)
    assert [overlap(scene, other) >= OVERLAP for other in (1, 2, 3)] == [False, True, False]
    assert {partner(scene, Draws("test", i)) for i in range(12)} == {2}
    away = np.linalg.norm(scene.cameras[1:, :3, 3] - scene.cameras[0, :3, 3], axis=1)
    monkeypatch.setattr(pairs, "OVERLAP", 1.1)
    assert {partner(scene, Draws("test", i)) for i in range(4)} == {1 + int(np.argmin(away))}


def test_what_views_share() -> None:
    """The same view shares everything, one to the other side nothing; one that is turned something between."""
    scene = layout(0, 0)
    (x, y, z), place = scene.cameras[0][:3, :3].T, scene.cameras[0][:3, 3]
    half = np.arctan(320 / 519)

    def turned(angle: float) -> np.ndarray:
        right, ahead = np.cos(angle) * x - np.sin(angle) * z, np.cos(angle) * z + np.sin(angle) * x
        return np.vstack([np.stack([right, y, ahead, place], 1), [0, 0, 0, 1]])

    scene = replace(scene, cameras=np.stack([turned(angle) for angle in (0, np.pi, half, 0.5 * half)]))
    assert overlap(scene, 0) == 1
    assert overlap(scene, 1) == 0
    # Turned by half of its width; near the border lines of sight go over and under the other picture.
    assert 0.35 < overlap(scene, 2) < 0.5 < overlap(scene, 3) < 0.75


def test_a_contact_sheet_shows_the_partner(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "plain.png", n=1, size=(16, 24))
    contact_sheet(tmp_path / "frames.png", n=1, size=(16, 24), options=(("frames", True),))
    plain, paired = (Image.open(tmp_path / f"{name}.png") for name in ("plain", "frames"))
    assert paired.size[0] == plain.size[0] + 24 + GAP
