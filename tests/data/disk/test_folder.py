"""Datasets on disk: what is found, what it becomes, and one clear error for what is missing."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.encodings import boundaries
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.marker import NAME, Marker, write_marker
from mtlrepro.errors import DataError, SpecError

H, W = 6, 8


@pytest.fixture
def street(tiny_dataset, tmp_path):
    """A copy of the tiny dataset that a test may break; returns its description file."""
    return shutil.copytree(tiny_dataset.parent, tmp_path / "street") / tiny_dataset.name


def edited(file, *pairs):
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


def refused(file, split="train", index=0, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        _ = Folder(file, split, **options)[index]
    assert "\n" not in str(caught.value)
    assert caught.value.file is not None
    assert caught.value.mend
    return caught.value


def test_samples_of_a_complete_dataset(tiny_dataset):
    train, val = Folder(tiny_dataset, "train"), Folder(tiny_dataset, "val")
    assert (len(train), len(val)) == (8, 4)
    sample = train[3]
    assert list(sample) == ["image", "semseg", "depth"]
    assert sample["image"].shape == (3, 32, 32)
    stored = np.load(tiny_dataset.parent / "depth/train/3.npy")
    assert np.array_equal(sample["depth"].numpy(), stored)
    assert set(sample["semseg"].unique().tolist()) == {0, 1, 255}
    assert Folder.check(tiny_dataset) == tiny_dataset.parent
    with pytest.raises(IndexError):
        val[4]


def test_length_keeps_the_first(tiny_dataset):
    assert Folder(tiny_dataset, "train", length=3).ids == Folder(tiny_dataset, "train").ids[:3]


@pytest.mark.parametrize("length", [9, 0, -1])
def test_an_impossible_length(tiny_dataset, length):
    error = refused(tiny_dataset, length=length)
    assert error.field == "splits.train"
    assert f"{length} train samples are asked for, but the split has 8" in error.problem


def test_an_unknown_split(tiny_dataset):
    assert "Known: train, val" in refused(tiny_dataset, "test", kind=SpecError).mend


def test_ids_may_lie_in_sub_folders(street):
    for kind, end in (("image", "png"), ("semseg", "png"), ("depth", "npy")):
        folder = street.parent / kind / "train"
        (folder / "night").mkdir()
        (folder / f"7.{end}").rename(folder / "night" / f"7.{end}")
    dataset = Folder(street, "train")
    assert dataset.ids == ["0", "1", "2", "3", "4", "5", "6", "night/7"]
    assert dataset[7]["image"].shape == (3, 32, 32)


def test_ids_come_in_the_order_of_text_or_of_numbers(street):
    for kind, end in (("image", "png"), ("semseg", "png"), ("depth", "npy")):
        folder = street.parent / kind / "train"
        for i in range(8, 11):
            shutil.copy(folder / f"0.{end}", folder / f"{i}.{end}")
    assert Folder(street, "train").ids[:4] == ["0", "1", "10", "2"]
    edited(street, ('name = "tiny"', 'name = "tiny"\nnumbered = true'))
    assert Folder(street, "train").ids == [str(i) for i in range(11)]
    (street.parent / "image/train/3.png").rename(street.parent / "image/train/03.png")
    error = refused(street)
    assert error.file == street.parent / "image/train/3.png"
    assert "one with the id '03'" in error.problem


def test_an_optional_text_may_be_in_some_names(street):
    edited(street, ("semseg/{split}/{id}.png", "semseg/{split}/{id}[_ids].png"))
    assert len(Folder(street, "train")) == 8
    folder = street.parent / "semseg/train"
    for i in range(8):
        (folder / f"{i}.png").rename(folder / f"{i}_ids.png")
    dataset = Folder(street, "train")
    assert dataset.files()[1] == "semseg/train/0_ids.png"
    assert dataset[0]["semseg"].shape == (32, 32)
    (folder / "5_ids.png").rename(folder / "5.png")
    assert Folder(street, "train").path_of("semseg", "5") == "semseg/train/5.png"
    (folder / "5.png").unlink()
    error = refused(street)
    assert error.file == folder / "5_ids.png"
    assert "1 of 8 semseg files" in error.problem


def test_check_passes_over_a_split_that_does_not_exist(street):
    edited(street, ("[tasks.semseg]", '[splits]\nval = ""\n[tasks.semseg]'))
    shutil.rmtree(street.parent / "image" / "val")
    assert Folder.check(street) == street.parent
    assert "Known: train" in refused(street, "val", kind=SpecError).mend


@pytest.mark.parametrize("pattern", ["./image/{split}/{id}.png", "image//{split}/{id}.png"])
def test_loosely_written_patterns_find_their_files(street, pattern):
    edited(street, ("image/{split}/{id}.png", pattern))
    assert len(Folder(street, "train")) == 8


def test_id_lists_keep_their_order(street):
    edited(street, ("[tasks.semseg]", '[splits]\ntrain = "train.txt"\n[tasks.semseg]'))
    (street.parent / "train.txt").write_text("\ufeff5\n\n 2 \n", encoding="utf-8")
    assert Folder(street, "train").ids == ["5", "2"]
    for text, problem in (("", "holds no id"), ("5\n2\n5\n", "id '5' is listed twice")):
        (street.parent / "train.txt").write_text(text)
        error = refused(street)
        assert str(error.file).endswith("train.txt")
        assert error.problem == problem
    (street.parent / "train.txt").write_text("5\n77\n")
    error = refused(street)
    assert str(error.file).endswith("image/train/77.png")
    assert "1 of 2 image files of the train split are missing" in error.problem
    (street.parent / "train.txt").unlink()
    error = refused(street)
    assert error.problem.startswith("no such file; ")
    assert "correct splits.train" in error.mend


@pytest.mark.parametrize(
    "name", ["../../zz", "s/../0", "/0", "./0", "s/./0", ".", "..", "s\\0", "..\\0", "0\0", "s/\x7f0"]
)
def test_ids_that_are_no_paths_below_the_images(street, name):
    edited(street, ("[tasks.semseg]", '[splits]\ntrain = "train.txt"\n[tasks.semseg]'))
    for kind, end in (("image", "png"), ("semseg", "png"), ("depth", "npy")):
        (street.parent / kind / "train/s").mkdir()
        shutil.copy(street.parent / kind / f"train/0.{end}", street.parent / kind / f"zz.{end}")
    (street.parent / "train.txt").write_text(f"5\n{name}\n")
    error = refused(street)
    assert (error.file, error.field) == (street.parent / "train.txt", "line 2")
    assert error.problem == f"{name!r} is no id"
    assert error.mend.startswith("An id is a path below the folder of the images")


def test_a_list_that_cannot_be_opened(street, monkeypatch):
    edited(street, ("[tasks.semseg]", '[splits]\ntrain = "a\\u0000.txt"\nval = "val.txt"\n[tasks.semseg]'))
    assert refused(street).problem.startswith("cannot be read (embedded null")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    described = load(street)
    (street.parent / "val.txt").write_text("0\n")
    monkeypatch.setattr("mtlrepro.data.disk.folder.marker_of", lambda root, name: None)
    monkeypatch.setattr(type(street), "read_text", refuse)  # whoever runs the tests may be allowed everything
    error = refused(described, "val")
    assert error.problem == "cannot be read (Permission denied)"
    assert "chmod u+r" in error.mend


def test_a_missing_root(street, tmp_path):
    edited(street, ('name = "tiny"', 'name = "tiny"\nroot = "gone"'))
    error = refused(street)
    assert (error.file, error.field) == (street, "root")
    assert f"no such folder: {street.parent / 'gone'}" in error.problem
    error = refused(street, root=tmp_path)
    assert f"looked for {tmp_path / 'gone' / 'image'}" in error.problem
    assert f"Put gone into {tmp_path}" in error.mend
    assert "--data-root" in error.mend


def test_a_split_without_files(street):
    shutil.rmtree(street.parent / "image" / "val")
    error = refused(street, "val")
    assert error.field == "splits.val"
    assert "no file of the val split" in error.problem
    assert "matches image/val/{id}.png" in error.problem
    assert f"{street.parent / 'image'} holds train/" in error.problem


def test_a_missing_label_file(street):
    (street.parent / "depth/train/5.npy").unlink()
    error = refused(street)
    assert error.file == street.parent / "depth/train/5.npy"
    assert error.field == "depth"
    assert "1 of 8 depth files of the train split are missing" in error.problem
    assert "holds 0.npy, 1.npy, 2.npy, 3.npy and 3 more" in error.problem
    assert str(street) in error.mend


def test_a_count_that_does_not_match(street):
    edited(street, ("[tasks.semseg]", "[counts]\ntrain = 9\n[tasks.semseg]"))
    error = refused(street)
    assert error.field == "counts.train"
    assert error.problem == "the train split has 8 samples, expected 9"
    assert len(Folder(street, "val")) == 4


def test_a_label_of_another_size(street):
    file = street.parent / "semseg/train/2.png"
    Image.fromarray(np.zeros((30, 32), np.uint8)).save(file)
    error = refused(street, index=2)
    assert (error.file, error.field) == (file, "semseg")
    assert "label is 30x32 (height x width), but its image" in error.problem
    assert "is 32x32" in error.problem


def test_a_file_that_vanishes_after_the_check(street):
    dataset = Folder(street, "train")
    (street.parent / "image/train/0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png: no such file\. Restore it"):
        dataset[0]


def test_check_reads_a_sample_of_both_splits(street):
    (street.parent / "image/val/0.png").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        Folder.check(street)


def test_edges_from_semseg(street):
    edited(street, ("[tasks.depth]", '[tasks.edges]\nfrom = "semseg"\n[tasks.depth]'))
    dataset = Folder(street, "train")
    sample = dataset[0]
    assert list(sample) == ["image", "semseg", "edges", "depth"]
    assert torch.equal(sample["edges"], boundaries(sample["semseg"]))
    assert not any("edge" in file for file in dataset.files())


# the layout of the papers' NYUD-v2


def write_nyud(root, splits):
    """A folder as the public reference implementation distributes it; returns the arrays as stored."""
    random, stored = np.random.default_rng(0), {}
    for name in ("images", "segmentation", "normals", "edge", "depth", "gt_sets"):
        (root / name).mkdir(parents=True)
    for split, ids in splits.items():
        (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids))
        for i in ids:
            normals = random.normal(size=(H, W, 3)).astype(np.float32)
            normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
            normals[0, 0] = 0
            arrays = stored[i] = {
                "segmentation": random.integers(0, 41, (H, W), dtype=np.uint8),
                "normals": normals,
                "edge": (random.random((H, W, 1)) < 0.2).astype(np.float32),
                "depth": random.uniform(0.7, 9.9, (H, W)).astype(np.float32),
            }
            arrays["segmentation"][0] = 0
            Image.fromarray(random.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(root / "images" / f"{i}.jpg")
            Image.fromarray(arrays["segmentation"]).save(root / "segmentation" / f"{i}.png")
            for name in ("normals", "edge", "depth"):
                np.save(root / name / f"{i}.npy", arrays[name])
    return stored


def test_the_built_in_nyuv2_layout(tmp_path, monkeypatch):
    from mtlrepro.data import description_file

    splits = {"train": ["0003", "0001"], "val": ["0002"]}
    stored = write_nyud(tmp_path / "NYUD_MT", splits)
    described = load(description_file("nyuv2"))
    with pytest.raises(DataError, match="the train split has 2 samples, expected 795"):
        Folder(described, "train", tmp_path)

    monkeypatch.setitem(described.counts, "train", 2)
    train = Folder(described, "train", tmp_path)
    assert train.ids == splits["train"]
    assert train.info.tasks == ("semseg", "normals", "edges", "depth")
    assert len(train.info.class_names) == 40
    for i, name in enumerate(train.ids):
        sample, raw = train[i], stored[name]
        assert sample["image"].shape == (3, H, W)
        ids = raw["segmentation"].astype(int)
        assert np.array_equal(sample["semseg"].numpy(), np.where(ids == 0, 255, ids - 1))
        assert np.array_equal(sample["depth"].numpy(), raw["depth"])
        assert np.allclose(sample["normals"].permute(1, 2, 0).numpy(), raw["normals"], atol=1e-6)
        length = sample["normals"].norm(dim=0)
        assert length[0, 0] == 0
        assert torch.allclose(length.flatten()[1:], torch.ones(H * W - 1), atol=1e-6)
        assert np.array_equal(sample["edges"].numpy(), raw["edge"][..., 0])


def test_lists_that_are_swapped_or_share_an_image(street):
    lists = '[splits]\ntrain = "train.txt"\nval = "val.txt"\n[counts]\ntrain = 3\nval = 2\n[tasks.semseg]'
    edited(street, ("[tasks.semseg]", lists), ("{split}/{id}.png", "train/{id}.png"), ("{split}/", "train/"))
    (street.parent / "train.txt").write_text("0\n1\n")
    (street.parent / "val.txt").write_text("2\n3\n4\n")
    error = refused(street)
    assert error.problem == "the train split has 2 samples, expected 3"
    assert "look whether the lists or folders of the two are swapped" in error.mend
    (street.parent / "train.txt").write_text("0\n1\n2\n")
    (street.parent / "val.txt").write_text("2\n3\n")
    with pytest.raises(DataError, match=r"1 images belong to train and to val, such as image/train/2\.png"):
        Folder.check(street)
    (street.parent / "val.txt").write_text("3\n4\n")
    assert Folder.check(street) == street.parent


def test_a_marker_of_another_dataset_is_refused(street):
    write_marker(street.parent, Marker("taskonomy", {"train": 8, "val": 4}, (32, 32), 0))
    error = refused(street)
    assert (error.file, error.field) == (street.parent / NAME, "dataset")
    assert "copy of 'taskonomy', which is not 'tiny'" in error.problem


def test_a_marker_counts_every_split(street):
    write_marker(street.parent, Marker("tiny", {"train": 8}, (32, 32), 0))
    assert len(Folder(street, "train")) == 8
    error = refused(street, "val")
    assert error.problem == "the val split has 4 samples, expected 0"
    assert "data synthesize" in error.mend


def test_a_split_of_folders_says_how_to_leave_a_sample_out(street):
    edited(street, ("[tasks.semseg]", "[splits]\ntrain = ['train']\nval = ['val']\n[tasks.semseg]"))
    edited(street, ("image/{split}/", "image/"), ("semseg/{split}/", "semseg/"), ("depth/{split}/", "depth/"))
    assert Folder(street, "train").ids[0] == "train/0"
    (street.parent / "semseg/train/5.png").unlink()
    error = refused(street)
    assert error.file == street.parent / "semseg/train/5.png"
    assert error.mend.endswith("a sample without all of its files can be left out by removing its image")


def test_a_synthetic_copy_has_counts_of_its_own(street):
    edited(street, ("[tasks.semseg]", "[counts]\ntrain = 795\n[tasks.semseg]"))
    assert not refused(street).problem.endswith("expected 8")
    write_marker(street.parent, Marker("tiny", {"train": 8, "val": 4}, (32, 32), 0))
    assert Folder(street, "train").synthetic
    write_marker(street.parent, Marker("tiny", {"train": 9, "val": 4}, (32, 32), 0))
    assert refused(street).problem == "the train split has 8 samples, expected 9"


def test_a_dataset_without_a_reader_of_its_own_cannot_ask_for_one(street):
    edited(street, ("[tasks.semseg]", '[tasks.normals]\nfrom = "reader"\n[tasks.semseg]'))
    assert refused(street).field == "tasks.normals.from"


def test_a_pipe_in_place_of_a_list_does_not_wait_for_ever(street):
    edited(street, ("[tasks.semseg]", '[splits]\ntrain = "train.txt"\n[tasks.semseg]'))
    os.mkfifo(street.parent / "train.txt")
    assert refused(street).problem == "not a regular file"


def test_files_that_can_be_read_in_one_way_need_no_remark(street):
    assert Folder.remark() == ""
    assert not Folder(street, "train").KEPT
