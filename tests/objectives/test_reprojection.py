"""The oracle of self-supervised depth: on the embedded drives depth, motion and camera are known."""

import functools

import pytest
import torch
from torch.nn import functional as F

from mtlrepro.data.scenes.drives.dataset import Drives
from mtlrepro.data.warp import back_project, look_up, motion_matrix, project, warp
from mtlrepro.objectives.photometric import photometric_error

FINER = 3
"""Pictures are drawn so much finer and averaged: at one ray a pixel textures flicker from frame to frame."""

MOVING = ("person", "rider", "car", "bus", "motorcycle", "bicycle")


class Scene:
    """One sample of the drives, (48, 96), and what of it stands still and is seen in the frames beside it."""

    def __init__(self, sample, names):
        middle = slice(FINER // 2, None, FINER)
        self.image = F.avg_pool2d(sample["image"][None] / 255, FINER)
        self.frames = F.avg_pool2d(sample["frames"] / 255, FINER)[None]
        self.depth = sample["depth"][middle, middle][None, None]
        self.camera = sample["intrinsics"][None].clone()
        self.camera[:, :2] /= FINER
        self.motions = sample["motion"][:, None]
        there = sample["frame_depth"][:, middle, middle][None]
        still = ~torch.isin(sample["semseg"][middle, middle], torch.tensor([names.index(n) for n in MOVING]))
        self.seen = torch.cat([self.visible(there[:, k : k + 1], m) & still for k, m in enumerate(self.motions)], 1)

    def visible(self, there, motion):
        """(1, 1, H, W) bool: it and its neighbours are nearer than 60 m, and as deep in the other frame as expected."""
        points = back_project(self.depth, self.camera)
        at = project(points, self.camera, motion)
        far = (motion[:, :3, :3] @ points.flatten(2) + motion[:, :3, 3:])[:, 2].view_as(self.depth)
        height, width = self.depth.shape[-2:]
        inside = ((at > 1) & (at < torch.tensor([width - 1.0, height - 1.0]))).all(-1)[:, None]
        same = (look_up(there, at) - far).abs() < 0.02 * far
        bad = ~(inside & same & (self.depth > 0) & (self.depth < 60))
        return F.max_pool2d(bad.float(), 3, 1, 1) == 0

    def error(self, depth=None, motions=None, camera=None):
        """Mean over what is seen of the least photometric error of both frames."""
        camera, motions = self.camera if camera is None else camera, self.motions if motions is None else motions
        points = back_project(self.depth if depth is None else depth, camera)
        warped = [warp(f, points, camera, m) for f, m in zip(self.frames.unbind(1), motions, strict=True)]
        return self.least(warped)

    def least(self, frames):
        errors = torch.cat([photometric_error(frame, self.image) for frame in frames], 1)
        least = errors.masked_fill(~self.seen, 1.0).amin(1)
        return least[self.seen.any(1)].mean().item()


@functools.cache  # not a fixture, which would be made before the tests are bound to one thread
def scenes():
    height, width = 48 * FINER, 96 * FINER
    data = Drives("train", (height, width), 3, style="game", normals="metric", frames=True)
    return [Scene(data[i], data.info.class_names) for i in range(len(data))]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def wrong_camera(scene):
    camera = scene.camera.clone()
    camera[:, 0, 2] += 14
    return camera


WRONG = {
    "depth three times as large": lambda s: s.error(depth=3 * s.depth),
    "depth half as large": lambda s: s.error(depth=s.depth / 2),
    "a wall at 8 m": lambda s: s.error(depth=torch.full_like(s.depth, 8.0)),
    "motion the other way": lambda s: s.error(motions=s.motions.flip(0)),
    "a turn of 2 degrees too much": lambda s: s.error(
        motions=s.motions @ motion_matrix(torch.tensor([0.0, 0.035, 0.0]), torch.zeros(3))
    ),
    "principal point beside": lambda s: s.error(camera=wrong_camera(s)),
    "no warping": lambda s: s.least(s.frames.unbind(1)),
}


def test_truth_leaves_little_error():
    assert min(scene.seen.any(1).float().mean() for scene in scenes()) > 0.3
    assert mean(scene.error() for scene in scenes()) < 0.04


@pytest.mark.parametrize("wrong", WRONG)
def test_the_error_grows_when_something_is_wrong(wrong):
    assert mean(WRONG[wrong](scene) for scene in scenes()) > 1.4 * mean(scene.error() for scene in scenes())
