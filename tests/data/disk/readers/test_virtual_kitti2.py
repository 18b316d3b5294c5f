"""Virtual KITTI 2: colours of classes, round trip, incomplete trees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from outdoor_copies import COUNTS, SIZE, check_normals, copy, read, release
from PIL import Image

from mtlrepro.data import dataset_info, find_dataset
from mtlrepro.data.disk.readers import cityscapes
from mtlrepro.data.disk.readers.virtual_kitti2 import EIGHT, FRAMES
from mtlrepro.errors import DataError, SpecError

X = 255
COLOURS = [
    *((210, 0, 200), (90, 200, 255), (0, 199, 0), (90, 240, 0), (140, 140, 140), (100, 60, 100), (250, 100, 255)),
    *((255, 255, 0), (200, 200, 0), (255, 130, 0), (80, 80, 80), (160, 60, 60), (255, 127, 80), (0, 139, 139)),
    *((0, 0, 0), (1, 2, 3), (255, 255, 255), (210, 0, 201)),
]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(14, [*range(14), X, X, X, X]), (8, [X, 6, 5, 5, 1, 0, X, 4, 3, 2, X, 7, 7, 7, X, X, X, X])],
)
def test_conformance_of_colours(classes: int, expected: list[int], tmp_path: Path) -> None:
    file = tmp_path / "colours.png"
    Image.fromarray(np.array([COLOURS], np.uint8)).save(file)
    found = read("virtual_kitti2", classes=classes).stored_classes({"semseg": file})[0].tolist()
    assert found == expected
    assert len(dataset_info("virtual_kitti2", (("classes", classes),)).class_names) == classes


def test_a_picture_of_mostly_other_colours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "colours.png"
    colours = np.zeros((4, 5, 3), np.uint8)
    colours.reshape(-1, 3)[:10] = 77, 77, 77
    Image.fromarray(colours).save(file)
    for classes in (14, 8):
        found = read("virtual_kitti2", classes=classes).stored_classes({"semseg": file})
        assert bool((found == X).all()), "half of it is Undefined"
    colours.reshape(-1, 3)[10] = 77, 77, 77
    Image.fromarray(colours).save(file)
    with pytest.raises(DataError, match="55% of the pixels have a colour that stands for no class") as caught:
        read("virtual_kitti2").stored_classes({"semseg": file})
    assert (caught.value.file, caught.value.field) == (file, "semseg")


def test_a_pipe_in_place_of_a_label_is_named_by_a_look_at_the_dataset(tmp_path: Path) -> None:
    root = copy("virtual_kitti2", tmp_path)
    for file in root.rglob("classgt_*.png"):
        file.unlink()
        os.mkfifo(file)
    found = find_dataset("virtual_kitti2", tmp_path)
    assert "classgt_" in str(found)
    assert "not a regular file" in str(found)


def test_facts() -> None:
    assert sum(FRAMES.values()) == 2126
    assert list(EIGHT) == list(cityscapes.EIGHT), "one network serves both"
    with pytest.raises(SpecError, match=r"16 classes\. Give 14 or 8"):
        read("virtual_kitti2", classes=16)


@pytest.mark.parametrize("split", list(COUNTS))
def test_round_trip(split: str) -> None:
    dataset = read("virtual_kitti2", split)
    found = list(release("virtual_kitti2").scenes(split, COUNTS[split]))
    assert sorted(name for name, _ in found) == sorted(dataset.ids)
    for name, rendered in found:
        sample = dataset[dataset.ids.index(name)]
        assert list(sample) == ["image", "semseg", "depth", "normals", "intrinsics", "placement"]
        assert float((sample["image"].float() - rendered["image"].float()).abs().mean()) < 8, "JPEG"
        assert torch.equal(sample["semseg"], rendered["semseg"])
        assert float((sample["depth"] - rendered["depth"]).abs().max()) <= 0.00501, "half a centimetre"
        assert check_normals(sample, rendered) > 2000
    assert any(bool((rendered["semseg"] == 255).any()) for _, rendered in found) or split == "val"


def test_an_incomplete_scene_is_named(tmp_path: Path) -> None:
    root = copy("virtual_kitti2", tmp_path, marked=False)
    with pytest.raises(DataError, match="4 frames of Scene01, expected 447") as caught:
        read("virtual_kitti2", base=tmp_path)
    assert "vkitti_2.0.3" in str(caught.value)
    (root / "inner").mkdir()
    for scene in ("Scene01", "Scene02"):
        (root / scene).rename(root / "inner" / scene)
    with pytest.raises(DataError, match="the tree lies one level too deep"):
        read("virtual_kitti2", base=tmp_path)


def test_archives_beside_each_other_are_not_one_tree(tmp_path: Path) -> None:
    root = copy("virtual_kitti2", tmp_path)
    shutil.move(root / "Scene02/15-deg-left/frames/depth", root / "depth")
    with pytest.raises(DataError, match="depth files of the train split are missing") as caught:
        read("virtual_kitti2", base=tmp_path, policy="disjoint", split_seed=_seed_with_scene_2())
    assert "Scene02/15-deg-left/frames/depth/Camera_0/depth_00000.png" in str(caught.value)


def _seed_with_scene_2() -> int:
    seeds = (s for s in range(50) if "Scene02/00000" in read("virtual_kitti2", policy="disjoint", split_seed=s).ids)
    return next(seeds)


def test_eight_bit_depth_is_refused(tmp_path: Path) -> None:
    root = copy("virtual_kitti2", tmp_path)
    scene, frame = read("virtual_kitti2", base=tmp_path).ids[0].split("/")
    file = root / scene / f"15-deg-left/frames/depth/Camera_0/depth_{frame}.png"
    Image.new("L", (SIZE[1], SIZE[0]), 3).save(file)
    with pytest.raises(DataError, match="an 8-bit PNG, but values up to 65535 are expected"):
        read("virtual_kitti2", base=tmp_path)[0]
