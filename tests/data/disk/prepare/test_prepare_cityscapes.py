"""The 128x256 arrays from the raw release of Cityscapes: against the official table, and through the real reader."""

import numpy as np
import pytest
from PIL import Image
from raw_sources import CITIES, cityscapes_source, contents

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.marker import NAME, Marker, read_marker
from mtlrepro.data.disk.prepare import prepare
from mtlrepro.data.disk.prepare.cityscapes_7 import NINETEEN, SEVEN
from mtlrepro.errors import DataError

# id: (category, train id), as in the dataset's own table of labels.
OFFICIAL = {
    **{i: ("void", 255) for i in range(7)},
    7: ("flat", 0),  # road
    8: ("flat", 1),  # sidewalk
    9: ("flat", 255),  # parking
    10: ("flat", 255),  # rail track
    11: ("construction", 2),  # building
    12: ("construction", 3),  # wall
    13: ("construction", 4),  # fence
    14: ("construction", 255),  # guard rail
    15: ("construction", 255),  # bridge
    16: ("construction", 255),  # tunnel
    17: ("object", 5),  # pole
    18: ("object", 255),  # pole group
    19: ("object", 6),  # traffic light
    20: ("object", 7),  # traffic sign
    21: ("nature", 8),  # vegetation
    22: ("nature", 9),  # terrain
    23: ("sky", 10),
    24: ("human", 11),  # person
    25: ("human", 12),  # rider
    26: ("vehicle", 13),  # car
    27: ("vehicle", 14),  # truck
    28: ("vehicle", 15),  # bus
    29: ("vehicle", 255),  # caravan
    30: ("vehicle", 255),  # trailer
    31: ("vehicle", 16),  # train
    32: ("vehicle", 17),  # motorcycle
    33: ("vehicle", 18),  # bicycle
}
CATEGORIES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")


@pytest.fixture
def source(tmp_path):
    """(folder of the raw files, {split/city/name: arrays}, data root)."""
    (tmp_path / "root").mkdir()
    return tmp_path / "raw", cityscapes_source(tmp_path / "raw"), tmp_path / "root"


def test_official_classes():
    assert len(OFFICIAL) == len(SEVEN) == len(NINETEEN) == 34
    for i, (category, train_id) in OFFICIAL.items():
        assert SEVEN[i] == (CATEGORIES.index(category) if category != "void" else -1)
        assert NINETEEN[i] == (train_id if train_id != 255 else -1)


def test_arrays(source):
    raw, held, root = source
    before = contents(raw)
    assert prepare("cityscapes_7", raw, root) == root / "cityscapes2"
    assert contents(raw) == before
    assert [path.name for path in root.iterdir()] == ["cityscapes2"]
    assert read_marker(root / "cityscapes2") == Marker("cityscapes_7", {"train": 3, "val": 2}, (128, 256), 0)
    for split in ("train", "val"):
        names = sorted(CITIES[split])
        folder = Folder(LAYOUTS / "cityscapes_7.toml", split, root)
        assert (root / "cityscapes2" / "rows" / f"{split}.txt").read_text().splitlines() == names
        assert len(folder) == len(names)
        for i, name in enumerate(names):
            image, labels, disparity = held[f"{split}/{name}"]
            small = {
                kind: np.asarray(Image.fromarray(array).resize((256, 128), Image.Resampling.NEAREST))
                for kind, array in (("labels", labels), ("disparity", disparity))
            }
            sample = folder[i]
            bicubic = np.asarray(Image.fromarray(image).resize((256, 128), Image.Resampling.BICUBIC))
            np.testing.assert_array_equal((sample["image"].movedim(0, -1) * 255).round(), bicubic)
            seven = SEVEN[small["labels"]]
            np.testing.assert_array_equal(sample["semseg"], np.where(seven < 0, 255, seven))
            np.testing.assert_array_equal(sample["depth"], (small["disparity"] / 65535).astype(np.float32))
            assert 0.1 < (sample["depth"] == 0).float().mean() < 0.3
            assert sample["depth"].max() <= 32257 / 65535
            nineteen = np.load(root / "cityscapes2" / split / "label_19" / f"{i}.npy")
            np.testing.assert_array_equal(nineteen, NINETEEN[small["labels"]])
    Folder.check(LAYOUTS / "cityscapes_7.toml", root)


def test_provenance_tells_the_share_of_valid_disparities(source):
    raw, _, root = source
    folder = prepare("cityscapes_7", raw, root)
    shares = [
        np.mean([np.load(file) > 0 for file in sorted((folder / split / "depth").iterdir())])
        for split in ("train", "val")
    ]
    text = (folder / "PROVENANCE.md").read_text()
    assert f"{shares[0]:.2%} in train, {shares[1]:.2%} in val (the rest is 0)." in text
    assert "published label mask does not fit" in text
    assert "No published mask" in (folder / "labels" / "README.md").read_text()


@pytest.mark.parametrize("stopped", [1, 3, 5])
def test_interrupted_and_resumed_bits_are_the_same(source, tmp_path, stopped):
    raw, _, root = source
    (tmp_path / "other").mkdir()
    whole = contents(prepare("cityscapes_7", raw, tmp_path / "other"))

    def stop(done, total):
        assert total == 5
        if done == stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("cityscapes_7", raw, root, stop)
    assert contents(prepare("cityscapes_7", raw, root)) == whole


def refuse(raw, root):
    with pytest.raises(DataError) as caught:
        prepare("cityscapes_7", raw, root)
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    assert not (root / "cityscapes2").exists()
    return caught.value


FIRST = "train/aachen/aachen_000001_000019"
LABELS, DISPARITY = f"gtFine/{FIRST}_gtFine_labelIds.png", f"disparity/{FIRST}_disparity.png"


@pytest.mark.parametrize(("file", "field"), [(LABELS, "labels"), (DISPARITY, "disparity")])
def test_image_without_its_label(source, file, field):
    raw, _, root = source
    (raw / file).unlink()
    error = refuse(raw, root)
    assert (error.file, error.field) == (raw / file, field)
    assert "1 of 3" in error.problem
    assert not any(root.iterdir())


def test_missing_images(source):
    raw, _, root = source
    (raw / f"leftImg8bit/{FIRST}_leftImg8bit.png").unlink()
    assert refuse(raw, root).problem.startswith("2 images of the train split, expected 3")


def test_tree_one_level_too_deep(source, tmp_path):
    raw, _, root = source
    deep = tmp_path / "deep"
    deep.mkdir()
    raw.rename(deep / "raw")
    (deep / "raw" / NAME).rename(deep / NAME)
    error = refuse(deep, root)
    assert "too deep" in error.problem
    assert "0 images" in error.problem


def test_count_of_the_release_without_a_marker(source):
    raw, _, root = source
    (raw / NAME).unlink()
    assert "expected 2975" in refuse(raw, root).problem


def big(array):
    return array.repeat(2, 0)


BROKEN = {
    "grey image": (f"leftImg8bit/{FIRST}_leftImg8bit.png", lambda a: a[..., 0], "mode L"),
    "large image": (f"leftImg8bit/{FIRST}_leftImg8bit.png", big, "512x512"),
    "8-bit disparity": (DISPARITY, lambda a: (a // 256).astype(np.uint8), "mode L"),
    "large labels": (LABELS, big, "512x512"),
    "train ids": (LABELS, lambda a: np.where(a < 7, 255, a).astype(np.uint8), "label id 255"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_file_that_is_not_as_released(source, case):
    raw, _, root = source
    file, make, words = BROKEN[case]
    Image.fromarray(make(np.asarray(Image.open(raw / file)))).save(raw / file)
    error = refuse(raw, root)
    assert error.file == raw / file
    assert words in error.problem


@pytest.mark.parametrize("size", [0, 300])
def test_truncated_file_is_named_and_the_rest_kept(source, tmp_path, size):
    raw, _, root = source
    (tmp_path / "other").mkdir()
    whole = contents(prepare("cityscapes_7", raw, tmp_path / "other"))
    file = raw / "disparity/train/aachen/aachen_000002_000019_disparity.png"
    content = file.read_bytes()
    file.write_bytes(content[:size])
    assert refuse(raw, root).file == file
    assert (root / "cityscapes2.partial/train/image/0.npy").is_file()
    file.write_bytes(content)
    assert contents(prepare("cityscapes_7", raw, root)) == whole


def test_other_samples_are_another_source(source):
    raw, _, root = source

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("cityscapes_7", raw, root, stop)
    for file in [file for file in raw.rglob("aachen_000001_*") if file.is_file()]:
        file.rename(file.with_name(file.name.replace("000001", "000003")))
    assert refuse(raw, root).field == "source"
