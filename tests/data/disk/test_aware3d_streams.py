"""Batches of the 3D-aware regularizer's tables from copies of the releases: labelled images, video beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.readers.nyuv2_video import VideoPairs
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.loader import TrainLoader, open_loader
from mtlrepro.data.sample import IMAGENET_MEAN, Batch, restored
from mtlrepro.data.transforms.geometry import GEOMETRY
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, Recipe, RunSpec
from mtlrepro.suite.shrink import rehearsal
from mtlrepro.tasks import make_tasks

TASKS = {
    "nyuv2_invpt": ("semseg", "depth", "normals", "edges"),
    "pascal_context": ("semseg", "parts", "saliency", "normals", "edges"),
}
CANVAS, WINDOW = (448, 576), (slice(11, 436), slice(8, 568))
"""What is trained on, and where a picture of 425 x 560 lies on it."""

ROOMS = DataSpec(
    "nyuv2_invpt",
    CANVAS,
    "scale_flip_distort",
    extra=ExtraData("nyuv2_video", tasks=("depth",), augment="distort"),
)
PEOPLE = DataSpec("pascal_context", (512, 512), "scale_flip_distort")

CAMERA = "518.857901 519.469611 325.0824 253.2362"
"""What users are told to give COLMAP; copies hold the rendered camera's figures."""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copies")
    for name in ("nyuv2_video", *TASKS):
        synthesize(name, root, {"train": 3, "val": 1})
    return root


def spec_of(data: DataSpec) -> RunSpec:
    recipe = Recipe(
        "adam", 2e-5, 1e-6, batch=3, epochs=0, schedule="poly", steps=40_000, extra=3 * bool(data.extra.name)
    )
    return RunSpec(data, ModelSpec("invpt", "vit_l16", TASKS[data.name]), recipe)


def loader(spec: RunSpec, root: Path) -> TrainLoader:
    tasks = make_tasks(spec.tasks, build_dataset(spec.data, "train", root).info)
    return open_loader(spec, tasks, lambda data: build_dataset(data, "train", root), seed=0)


def video(root: Path) -> VideoPairs:
    dataset = build_dataset(DataSpec("nyuv2_video", CANVAS), "train", root)
    assert isinstance(dataset, VideoPairs)
    return dataset


@pytest.fixture(scope="module")
def batch(copies: Path) -> Batch:
    return loader(spec_of(ROOMS), copies).batch_at(0)


def carried(depth: Tensor, k: Tensor, motion: Tensor, there: Tensor) -> Tensor:
    """(N,) how far moved points of a depth map (H, W) are from those of another one, relatively, where both have some.

    Points that something hides from the other view are left out.
    """
    row, column = (depth > 0).nonzero().T
    rays = torch.linalg.inv(k) @ torch.stack([column + 0.5, row + 0.5, torch.ones_like(row)]).double()
    moved = motion[:3] @ torch.cat([rays * depth[row, column], torch.ones(1, len(row))])
    u, v = (k @ moved / moved[2])[:2].floor().long()
    inside = (moved[2] > 0) & (u >= 0) & (v >= 0) & (u < depth.shape[1]) & (v < depth.shape[0])
    found = there[v[inside], u[inside]]
    ratio = moved[2, inside][found > 0] / found[found > 0]
    return (ratio[ratio < 1.05] - 1).abs()


def test_half_of_a_batch_are_labelled_images_and_half_are_frames(batch: Batch) -> None:
    assert (batch.image.shape, batch.extra) == ((6, 3, *CANVAS), 3)
    assert {name: target.shape[-2:] for name, target in batch.targets.items()} == dict.fromkeys(
        TASKS["nyuv2_invpt"], torch.Size(CANVAS)
    )
    for name, seen in batch.labelled.items():
        assert seen.tolist() == [True] * 3 + [name == "depth"] * 3
    assert bool((batch.targets["semseg"][3:] == 255).all())
    assert bool((batch.targets["edges"][3:] == 255).all())
    assert not batch.targets["normals"][3:].any()
    assert bool((batch.targets["depth"] > 0).flatten(1).any(1).all())


def test_the_cameras_are_those_of_the_frames_alone(batch: Batch) -> None:
    assert not batch.geometry, "labelled images have no camera"
    assert {name: (tuple(value.shape), value.dtype) for name, value in batch.beside.items()} == {
        "intrinsics": ((3, 3, 3), torch.float32),
        "frames": ((3, 1, 3, *CANVAS), torch.float32),
        "frame_depth": ((3, 1, *CANVAS), torch.float32),
        "motion": ((3, 1, 4, 4), torch.float32),
    }
    moved = batch.to("meta")
    assert all(value.device.type == "meta" for value in moved.beside.values())


def test_images_and_partners_lie_in_the_middle_of_the_canvas(copies: Path, batch: Batch) -> None:
    margin = torch.ones(CANVAS, dtype=torch.bool)
    margin[WINDOW] = False
    mean = torch.tensor(IMAGENET_MEAN)[:, None]
    samples = video(copies)
    for row, index in enumerate(batch.index[3:].tolist()):
        sample = samples[index]
        frame, depth = batch.beside["frames"][row, 0], batch.beside["frame_depth"][row, 0]
        assert torch.equal(frame[:, *WINDOW], sample["frames"][0] / 255), "colours of a partner do not change"
        assert torch.equal(frame[:, margin], mean.expand(3, int(margin.sum())))
        assert torch.equal(depth[WINDOW], sample["frame_depth"][0])
        assert not depth[margin].any()
        assert torch.equal(batch.targets["depth"][3 + row, 0][WINDOW], sample["depth"])
        assert not batch.targets["depth"][3 + row, 0][margin].any()
        torch.testing.assert_close(restored(batch.image[3 + row], "imagenet")[:, margin], frame[:, margin])
        assert torch.equal(batch.beside["motion"][row], sample["motion"])
    changed = restored(batch.image[3:], "imagenet") * 255
    originals = [samples[i]["image"].float() for i in batch.index[3:].tolist()]
    differ = [float((a[:, *WINDOW] - b).abs().mean()) > 1 for a, b in zip(changed, originals, strict=True)]
    assert any(differ), "colours of frames do"


def test_points_of_a_frame_move_to_its_partners_surface_on_the_canvas(batch: Batch) -> None:
    beside = {name: value.double() for name, value in batch.beside.items()}
    for row in range(3):
        depth = batch.targets["depth"][3 + row, 0].double()
        k, motion, there = beside["intrinsics"][row], beside["motion"][row, 0], beside["frame_depth"][row, 0]
        error = carried(depth, k, motion, there)
        assert len(error) > 0.5 * 425 * 560
        assert float(error.median()) < 0.01, "steps of 39 mm"
        still = carried(depth, k, torch.eye(4, dtype=torch.float64), there)
        assert float(error.mean()) < 0.5 * float(still.mean())


def test_intrinsics_are_the_kinects_on_the_canvas(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3D-aware, cross-view term: the calibrated camera, cut by 40 and 45 and padded by 8 and 11 pixels."""
    (cameras,) = (copies / "nyu_data" / "colmap").glob("*/cameras.txt")
    before = cameras.read_text()
    cameras.write_text(f"1 PINHOLE 640 480 {CAMERA}\n")
    try:
        found = loader(spec_of(ROOMS), copies).batch_at(0).beside["intrinsics"]
    finally:
        cameras.write_text(before)
    expected = torch.tensor([[518.857901, 0, 293.0824], [0, 519.469611, 219.2362], [0, 0, 1]])
    torch.testing.assert_close(found, expected.expand(3, 3, 3), rtol=0, atol=1e-4)


def test_labelled_images_are_rescaled_and_frames_are_not(copies: Path) -> None:
    made = loader(spec_of(ROOMS), copies)
    labelled, frames = build_dataset(DataSpec("nyuv2_invpt", CANVAS), "train", copies), video(copies)
    rescaled = 0
    for step in range(3):
        batch = made.batch_at(step)
        for row, index in enumerate(batch.index[:3].tolist()):
            rescaled += not torch.equal(batch.targets["depth"][row, 0][WINDOW], labelled[index]["depth"])
        for row in range(3):
            sample = frames[int(batch.index[3 + row])]
            assert torch.equal(batch.targets["depth"][3 + row, 0][WINDOW], sample["depth"])
            assert torch.equal(batch.beside["intrinsics"][row, :2, :2], sample["intrinsics"][:2, :2])
    assert rescaled >= 6


def test_a_rehearsal_shrinks_the_camera_with_its_picture(copies: Path, batch: Batch) -> None:
    spec = rehearsal(spec_of(ROOMS))
    height, width = spec.data.size
    small = loader(spec, copies).batch_at(0)
    shown = {name for name in GEOMETRY if name in batch.beside}
    assert set(small.beside) == shown
    assert small.beside["frames"].shape == (small.extra, 1, 3, height, width)
    for row in range(small.extra):
        sample = video(copies)[int(small.index[len(small.index) - small.extra + row])]
        shrink = torch.tensor([[width / 560], [height / 425], [1.0]])
        torch.testing.assert_close(small.beside["intrinsics"][row], sample["intrinsics"] * shrink)
        assert torch.equal(small.beside["motion"][row], sample["motion"])


@pytest.mark.parametrize("small", [False, True])
def test_pascal_batches(small: bool, copies: Path) -> None:
    spec = spec_of(PEOPLE)
    spec = rehearsal(spec) if small else spec
    batch = loader(spec, copies).batch_at(0)
    count, size = spec.recipe.batch, spec.data.size
    assert batch.image.shape == (count, 3, *size)
    assert (batch.extra, batch.beside, batch.geometry) == (0, {}, {})
    assert {name: tuple(target.shape) for name, target in batch.targets.items()} == {
        "semseg": (count, *size),
        "parts": (count, *size),
        "saliency": (count, 1, *size),
        "normals": (count, 3, *size),
        "edges": (count, 1, *size),
    }
    for name in ("semseg", "saliency", "edges"):
        assert bool((batch.targets[name] != 255).flatten(1).any(1).all()), name
    assert bool((batch.targets["normals"] != 0).flatten(1).any(1).all())
    parts = batch.targets["parts"].flatten(1)
    somebody = ((parts > 0) & (parts < 7)).any(1)
    assert bool((parts[~somebody] == 255).all()), "a picture without anybody says nothing of parts"
