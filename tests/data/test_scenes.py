"""The embedded scenes: exact labels, determinism, geometry between views, and no short cut from colour or position."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from mtlrepro.data.sample import Dataset
from mtlrepro.data.scenes.classes import IGNORE, NYU13, NYU40, NYU40_TO_13
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.scenes.render import trace
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError

SIZE = (96, 128)
SCENES = range(8)


@pytest.fixture(scope="module")
def samples() -> list[dict[str, Tensor]]:
    return [render(layout(0, i), *SIZE, seed=i) for i in SCENES]


def test_shapes_and_dtypes(samples: list[dict[str, Tensor]]) -> None:
    expected = {
        "image": (torch.uint8, (3, *SIZE)),
        "semseg": (torch.uint8, SIZE),
        "instances": (torch.int32, SIZE),
        "depth": (torch.float32, SIZE),
        "depth_dense": (torch.float32, SIZE),
        "normals": (torch.float32, (3, *SIZE)),
        "edges": (torch.uint8, SIZE),
        "saliency": (torch.uint8, SIZE),
        "parts": (torch.uint8, SIZE),
        "intrinsics": (torch.float32, (3, 3)),
        "pose": (torch.float32, (4, 4)),
    }
    for sample in samples:
        assert {k: (v.dtype, tuple(v.shape)) for k, v in sample.items()} == expected


def test_the_same_scene_is_the_same_bits_in_any_order_and_with_any_thread_count(
    samples: list[dict[str, Tensor]],
) -> None:
    torch.manual_seed(123)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for i in reversed(SCENES):
            again = render(layout(0, i), *SIZE, seed=i)
            assert all(torch.equal(again[k], samples[i][k]) for k in again)
    assert not torch.equal(render(layout(1, 0), *SIZE)["image"], samples[0]["image"])


def test_the_rooms_are_those_of_the_recorded_results() -> None:
    """Every bit of four rooms: a change here makes results of other versions incomparable."""
    sha = hashlib.sha256()
    for dataset in (Scenes("train", (64, 96), 3), Scenes("val", (48, 64), 1, classes=13)):
        for i in range(len(dataset)):
            for name in sorted(dataset[i]):
                sha.update(name.encode() + dataset[i][name].contiguous().numpy().tobytes())
    assert sha.hexdigest() == "2019420ceef3c4ab4073ba004e9dd67ac28c92aa6209c3b23e78e787bf69e8c5"


def test_normals_are_unit_and_face_the_camera(samples: list[dict[str, Tensor]]) -> None:
    for sample in samples:
        n, k = sample["normals"], sample["intrinsics"]
        torch.testing.assert_close(n.norm(dim=0), torch.ones(SIZE))
        y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
        ray = torch.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], torch.ones_like(x)])
        assert float((n * ray).sum(0).max()) <= 1e-4


def test_normals_agree_with_differences_of_the_points(samples: list[dict[str, Tensor]]) -> None:
    """An oracle for depth and normals together: the cross product of the surface's own tangents."""
    for i, sample in enumerate(samples):
        scene = layout(0, i)
        row = trace(scene, scene.cameras[0], *SIZE, torch.device("cpu")).row
        points = _points(sample["depth_dense"], sample["intrinsics"])
        right, down = points[:, :-1, 1:] - points[:, :-1, :-1], points[:, 1:, :-1] - points[:, :-1, :-1]
        cross = torch.linalg.cross(down, right, dim=0)
        cross = cross / cross.norm(dim=0).clamp_min(1e-12)
        n = sample["normals"][:, :-1, :-1]
        smooth = (row[:-1, :-1] == row[:-1, 1:]) & (row[:-1, :-1] == row[1:, :-1])
        for shift in ((slice(0, -1), slice(1, None)), (slice(1, None), slice(0, -1))):
            smooth &= (n * sample["normals"][:, shift[0], shift[1]]).sum(0) > 0.9999
        agreement = (cross * n).sum(0)[smooth]
        assert len(agreement) > 1000
        assert float((agreement > 0.99).float().mean()) > 0.99


def test_another_view_sees_the_same_surfaces() -> None:
    """Points of view 1, moved into view 0 by the poses, lie on view 0's depth where nothing hides them."""
    for i in SCENES:
        first, second = (render(layout(0, i), *SIZE, view=v) for v in (0, 1))
        world = (
            second["pose"][:3, :3] @ _points(second["depth_dense"], second["intrinsics"]).flatten(1)
            + second["pose"][:3, 3:]
        )
        local = first["pose"][:3, :3].T @ (world - first["pose"][:3, 3:])
        k = first["intrinsics"]
        u = (local[0] / local[2] * k[0, 0] + k[0, 2]).floor().long()
        v = (local[1] / local[2] * k[1, 1] + k[1, 2]).floor().long()
        inside = (local[2] > 0.1) & (u >= 0) & (v >= 0) & (u < SIZE[1]) & (v < SIZE[0])
        assert float(inside.float().mean()) > 0.3, "views overlap"
        seen, there = first["depth_dense"][v[inside], u[inside]], local[2][inside]
        same_object = first["instances"][v[inside], u[inside]] == second["instances"].flatten()[inside]
        error = ((seen - there).abs() / there)[same_object & (there < seen * 1.05)]
        assert float((error < 0.03).float().mean()) > 0.9
        assert not torch.equal(first["pose"], second["pose"])


def test_edges_are_the_class_changes(samples: list[dict[str, Tensor]]) -> None:
    ids, edges = samples[0]["semseg"].int(), samples[0]["edges"]
    expected = torch.zeros_like(edges)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            right = x + 1 < SIZE[1] and ids[y, x] != ids[y, x + 1]
            lower = y + 1 < SIZE[0] and ids[y, x] != ids[y + 1, x]
            expected[y, x] = int(right or lower)
    assert torch.equal(edges, expected)
    share = np.mean([s["edges"].float().mean().item() for s in samples])
    assert 0.01 < share < 0.2


def test_depth_is_metric_and_has_kinect_like_holes() -> None:
    share = []
    for i in range(24):
        sample = render(layout(0, i), *SIZE, seed=i)
        depth, dense = sample["depth"], sample["depth_dense"]
        assert torch.equal(depth[depth > 0], dense[depth > 0])
        assert 0.05 <= float(dense.min()) <= float(dense.max()) < 15
        share.append(float((depth == 0).float().mean()))
    assert 0.02 < np.mean(share) < 0.15


def test_people_have_six_parts_and_the_rest_is_background() -> None:
    found: set[int] = set()
    without = 0
    for i in range(40):
        sample = render(layout(0, i), *SIZE, seed=i)
        parts, person = sample["parts"], sample["semseg"] == NYU40.index("person")
        if not person.any():
            assert bool((parts == IGNORE).all())
            without += 1
            continue
        assert torch.equal(parts > 0, person)
        found |= set(parts.unique().tolist())
    assert found == set(range(7))
    assert 5 < without < 35


def test_saliency_marks_whole_objects(samples: list[dict[str, Tensor]]) -> None:
    assert any(s["saliency"].any() for s in samples)
    for sample in samples:
        marked = set(sample["instances"][sample["saliency"] > 0].tolist())
        assert len(marked) <= 3
        for instance in marked:
            assert bool(sample["saliency"][sample["instances"] == instance].all())
        shell = torch.tensor([NYU40.index(n) for n in ("wall", "floor", "ceiling")], dtype=torch.uint8)
        assert not torch.isin(sample["semseg"][sample["saliency"] > 0], shell).any()


def test_the_13_classes_are_the_40_mapped() -> None:
    fine, coarse = (render(layout(0, 3), *SIZE, classes=c)["semseg"] for c in (40, 13))
    assert torch.equal(torch.tensor(NYU40_TO_13, dtype=torch.uint8)[fine.long()], coarse)
    assert int(coarse.max()) < len(NYU13)


def test_most_of_the_40_classes_occur() -> None:
    pixels = np.zeros(40)
    for i in range(200):
        pixels += np.bincount(layout(0, i).rows[:, 17].astype(int), minlength=40) > 0
    assert (pixels > 0).sum() >= 30
    assert (pixels >= 10).sum() >= 22, "a workable tail"


def test_neither_position_nor_colour_gives_the_labels() -> None:
    """Majority class by position and by colour, fitted on 96 scenes, stay far from useful on 32 others."""
    size, train, val = (32, 48), 96, 32
    data = [Scenes(s, size, n) for s, n in (("train", train), ("val", val))]
    ids = [torch.stack([d[i]["semseg"] for i in range(len(d))]).long() for d in data]
    images = [torch.stack([d[i]["image"] for i in range(len(d))]).long() for d in data]
    place = [torch.arange(size[0] * size[1]).view(size).expand_as(i) for i in ids]
    colour = [(i[:, 0] // 32) * 64 + (i[:, 1] // 32) * 8 + i[:, 2] // 32 for i in images]
    for cue, kinds in ((place, size[0] * size[1]), (colour, 512)):
        votes = torch.zeros(kinds, 40).index_put_((cue[0].flatten(), ids[0].flatten()), torch.ones(()), accumulate=True)
        guess = votes.argmax(1)[cue[1]]
        assert _miou(guess, ids[1]) < 0.1
        assert float((guess == ids[1]).float().mean()) < 0.6


def test_splits_share_no_scene_and_length_only_extends() -> None:
    train, longer, val = Scenes("train", (16, 16), 4), Scenes("train", (16, 16), 6), Scenes("val", (16, 16), 4)
    assert isinstance(train, Dataset)
    for i in range(4):
        assert torch.equal(train[i]["image"], longer[i]["image"])
        assert not torch.equal(train[i]["image"], val[i]["image"])
    assert len({train.digest(), longer.digest(), val.digest()}) == 3
    assert train.digest() == Scenes("train", (16, 16), 4).digest()
    with pytest.raises(IndexError):
        train[4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "test", "size": (32, 32), "length": 1}, "unknown split 'test'"),
        ({"split": "val", "size": (32, 32), "length": 1, "classes": 20}, "20 classes"),
        ({"split": "val", "size": (32, 32), "length": 0}, "at least 1"),
    ],
)
def test_bad_arguments(arguments: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Scenes(**arguments)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_scene() -> None:
    scene = layout(0, 0)
    cpu, gpu = (render(scene, *SIZE, device=d) for d in ("cpu", "cuda"))
    assert float((cpu["semseg"] == gpu["semseg"].cpu()).float().mean()) > 0.999
    torch.testing.assert_close(cpu["depth_dense"], gpu["depth_dense"].cpu(), atol=1e-2, rtol=1e-2)


def _points(depth: Tensor, k: Tensor) -> Tensor:
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([(x - k[0, 2]) / k[0, 0] * depth, (y - k[1, 2]) / k[1, 1] * depth, depth])


def _miou(guess: Tensor, ids: Tensor) -> float:
    iou = []
    for c in ids.unique().tolist():
        hit, either = ((guess == c) & (ids == c)).sum(), ((guess == c) | (ids == c)).sum()
        iou.append(float(hit / either))
    return float(np.mean(iou))
