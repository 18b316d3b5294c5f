import json
import tracemalloc
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from small_copies import DESCRIPTION, IDS, H, W, listed, npy, png, write

from mtlrepro.data.disk.checkup import checkup
from mtlrepro.data.disk.checkup.sheet import _far, _pictures, sheet
from mtlrepro.data.disk.checkup.survey import Survey, surplus
from mtlrepro.data.disk.origin import PREPARED
from mtlrepro.data.disk.prepare.record import NAME, new_record
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.partial import KEY
from mtlrepro.errors import DataError, SpecError
from mtlrepro.progress import ProgressLine


@pytest.fixture
def own(tmp_path):
    return str(write(tmp_path))


@pytest.fixture
def rooms(tmp_path):
    return synthesize("nyuv2_13", tmp_path / "data", {"train": 4, "val": 2}, (32, 48)).parent


def files(found, split, what):
    (check,) = (s for s in found.splits if s.name == split)
    (kind,) = (f for f in check.files if f.what == what)
    return kind


def statistics(found, split="train"):
    return next(s.statistics for s in found.splits if s.name == split)


def test_figures_are_those_of_the_files(own, tmp_path):
    found = checkup(own)
    images = [np.asarray(Image.open(tmp_path / "image" / f"{name}.png")) for name in IDS["train"]]
    depths = [np.load(tmp_path / "depth" / f"{name}.npy") for name in IDS["train"]]
    image, depth = statistics(found).tasks["image"], statistics(found).tasks["depth"]
    assert (image.low, image.high) == (min(i.min() for i in images), max(i.max() for i in images))
    assert depth.low == np.float32(min(d.min() for d in depths))
    assert depth.figure("median") == pytest.approx([np.median(d) for d in depths], rel=1e-6)
    assert depth.forms == {f"float32 {H}x{W}": 6}
    assert list(statistics(found).tasks["semseg"].counts[:5]) == [6 * H * W // 4] * 4 + [0]
    assert statistics(found).tasks["normals"].figure("away") == pytest.approx([0] * 6)
    assert statistics(found).tasks["edges"].figure("positive") == pytest.approx([1 / W] * 6)


def test_all_bad_samples_are_named_with_their_mend(own, tmp_path):
    (tmp_path / "image/t0.png").write_bytes(b"")
    whole = (tmp_path / "depth/t1.npy").read_bytes()
    (tmp_path / "depth/t1.npy").write_bytes(whole[:200])
    png(tmp_path, "semseg", "t2", np.full((H, W), 9))
    npy(tmp_path, "normals", "t3", np.full((H, W, 3), 0.3))
    png(tmp_path, "edges", "t4", np.full((H, W + 1), 0))
    found = checkup(own)
    problems = statistics(found).problems
    assert [p.file.partition(":")[0].rpartition("/")[2] for p in problems] == [
        *("t0.png", "t1.npy", "t2.png", "t3.npy", "t4.png")
    ]
    assert all(p.mend for p in problems)
    assert statistics(found).names == ["t5"]
    assert not found.ok
    assert "5 samples cannot be used" in found.text()
    end = found.text().index("val: 3 samples")
    assert all(found.text().index(p.file) > end for p in problems)  # after all statistics, where it is seen
    assert "5 problems" in found.text()


def test_every_missing_file_is_listed_and_the_other_samples_are_read(own, tmp_path):
    for name in ("t1", "t2"):
        (tmp_path / "depth" / f"{name}.npy").unlink()
    (tmp_path / "image/v0.png").unlink()
    png(tmp_path, "image", "z", np.zeros((H, W, 3)))
    found = checkup(own)
    depth = files(found, "train", "depth")
    assert (depth.found, depth.expected) == (4, 6)
    assert depth.missing == ("depth/t1.npy", "depth/t2.npy")
    assert "holds t0.npy" in depth.hint
    assert files(found, "val", "image").missing == ("image/v0.png",)
    assert files(found, "val", "depth").complete
    assert statistics(found).names == ["t0", "t3", "t4", "t5"]
    assert statistics(found, "val").names == ["v1", "v2"]
    assert found.surplus == {"image": ("z.png",)}
    assert not found.ok
    assert "depth/t2.npy" in found.text()
    assert "3 files missing" in found.text()


def test_surplus_files_alone_are_no_fault(own, tmp_path):
    png(tmp_path, "image", "z", np.zeros((H, W, 3)))
    assert checkup(own).ok


def test_too_few_and_too_many_samples(own, tmp_path):
    listed(tmp_path, "train", IDS["train"][:4])
    png(tmp_path, "image", "more", np.zeros((H, W, 3)))
    found = checkup(own)
    assert (files(found, "train", "image").found, files(found, "train", "image").expected) == (4, 6)
    assert "12 files missing" not in found.text()
    assert not found.ok


def test_numbers_with_gaps_are_listed(rooms):
    for number in (0, 2):
        (rooms / f"nyuv2/train/image/{number}.npy").unlink()
    found = checkup("nyuv2_13", rooms)
    assert files(found, "train", "image").missing == ("train/image/0.npy", "train/image/2.npy")
    assert files(found, "train", "depth").complete
    assert statistics(found).names == ["1", "3"]


def test_a_lost_list_spares_the_other_split(own, tmp_path):
    (tmp_path / "lists/val.txt").unlink()
    found = checkup(own)
    assert [s.name for s in found.splits] == ["train"]
    assert "lists/val.txt" in found.problems[0].file
    assert not found.ok


def test_a_tree_one_level_too_deep_says_so(own, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    for folder in ("image", "depth"):
        (tmp_path / folder).rename(inner / folder)
    found = checkup(own)
    assert "one level too deep" in files(found, "train", "image").hint
    assert statistics(found).names == []


def test_other_upper_and_lower_case_is_said(own, tmp_path):
    (tmp_path / "depth").rename(tmp_path / "Depth")
    assert "upper and lower case" in files(checkup(own), "train", "depth").hint


def test_no_folder_and_no_files_to_check(tmp_path, monkeypatch):
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    with pytest.raises(DataError, match="NYUD_MT"):
        checkup("nyuv2", tmp_path)
    with pytest.raises(DataError, match="MTLREPRO_DATA"):
        checkup("nyuv2")
    with pytest.raises(SpecError, match="generated"):
        checkup("scenes")
    with pytest.raises(SpecError, match="0 samples"):
        checkup("nyuv2", tmp_path, samples=0)


def test_a_subset_is_even_and_the_same_every_time(own):
    first, again = checkup(own, samples=3), checkup(own, samples=3)
    names = statistics(first).names
    assert names == statistics(again).names
    assert [int(name[1:]) // 2 for name in names] == [0, 1, 2]
    assert statistics(first, "val").names == IDS["val"]


def test_progress_counts_all_samples(own):
    written = []
    line = ProgressLine(written.append, enabled=True)
    line.INTERVAL = 0
    checkup(own, progress=line)
    assert any("9/9 samples" in text for text in written)


def test_json_holds_the_report(own, tmp_path):
    npy(tmp_path, "normals", "t0", np.zeros((H, W, 3)))
    found = checkup(own)
    value = json.loads(json.dumps(found.json(), allow_nan=False))
    assert value["ok"] == found.ok
    assert value["splits"]["train"]["files"]["depth"] == {"expected": 6, "found": 6, "missing": [], "hint": ""}
    assert value["splits"]["val"]["labels"]["semseg"]["pixels"] == {str(i): 3 * H * W // 4 for i in range(4)}
    assert value["splits"]["train"]["labels"]["normals"]["figures"]["invalid"]["greatest"] == 1


def test_the_text_has_a_bar_a_class(own):
    text = checkup(own).text()
    assert "0 sky  25.000% ##############################" in text
    assert "never seen" not in text
    assert text.rstrip().endswith("complete, nothing suspicious")


def test_the_picture_shows_samples_labels_and_bars(own, tmp_path):
    (tmp_path / "depth/v0.npy").write_bytes(b"")
    file = tmp_path / "made" / "sheet.png"
    sheet(checkup(own), file, n=2)
    with Image.open(file) as image:
        pixels = np.asarray(image)
    tiles = 10 * (192 * W // H)
    assert pixels.shape[1] > tiles
    assert pixels.shape[0] > 2 * 192
    bars = tiles + 10 * 4
    red = (pixels[:, :bars, 0] > 200) & (pixels[:, :bars, 1:] < 100).all(-1)
    assert red[-2 * 192 : -192].any()  # the message in place of the damaged sample


def test_ignored_pixels_look_like_no_class(own, tmp_path):
    png(tmp_path, "semseg", "t0", np.where(np.indices((H, W))[1] < 6, 255, 0))
    found = checkup(own)
    shown = _pictures(found.splits[0].reader[0], found.info)["semseg"]
    greys = {tuple(colour) for colour in shown[:, :6].reshape(-1, 3)}
    assert greys == {(96,) * 3, (160,) * 3}
    assert not greys & {tuple(colour) for colour in shown[:, 6:].reshape(-1, 3)}


def test_depth_is_drawn_to_the_far_end_of_what_is_there(own):
    found = checkup(own)
    sample = found.splits[0].reader[0]
    far = _far([sample])
    assert far == pytest.approx(np.percentile(sample["depth"], 99))
    assert f"depth 0 to {far:.3g} m" in _pictures(sample, replace(found.info, max_depth=far))


def test_neighbours_are_drawn(tmp_path):
    synthesize("nyuv2_video", tmp_path, {"train": 3, "val": 2}, (64, 96))
    found = checkup("nyuv2_video", tmp_path)
    sample = found.splits[0].reader[0]
    pictures = _pictures(sample, found.info)
    assert np.array_equal(pictures["neighbour 1"], sample["frames"][0].permute(1, 2, 0).numpy())


def test_how_much_of_val_is_in_train_is_counted(tmp_path):
    synthesize("synthia", tmp_path, {"train": 6, "val": 4}, (32, 64))
    found = checkup("synthia", tmp_path)
    train, val = (set(split.reader.ids) for split in found.splits)
    assert any(f"{len(train & val)} of {len(val)} val images are train images" in note for note in found.notes)


def mask(file, rows):
    file.parent.mkdir(exist_ok=True)
    torch.save({KEY: torch.tensor(rows, dtype=torch.float32)}, file)


def test_label_masks_beside_a_dataset(rooms):
    folder = rooms / "nyuv2" / "labels"
    mask(folder / "onelabel.pth", [[1, 0, 0]] * 4)
    mask(folder / "randomlabels.pth", [[1, 0, 0]] * 5)
    mask(folder / "halflabels.pth", [[1, 0, 0]] * 4)
    found = checkup("nyuv2_13", rooms)
    assert [p.file.partition(":")[0].rpartition("/")[2] for p in found.problems] == ["onelabel.pth", "randomlabels.pth"]
    assert "is not the published mask" in found.problems[0].problem
    assert "5 rows, but there are 4 images" in found.problems[1].problem
    assert any("halflabels.pth: a mask of your own" in note for note in found.notes)
    assert not found.ok


def test_a_prepared_copy_says_so(own, tmp_path):
    assert not checkup(own).notes
    (tmp_path / NAME).write_text(json.dumps(new_record("own", {})))
    found = checkup(own)
    assert found.ok
    assert found.notes == (PREPARED,)
    assert f"  note: {PREPARED}\n" in found.text()
    (tmp_path / NAME).write_text("{")
    damaged = checkup(own)
    assert not damaged.ok
    assert "damaged" in damaged.problems[0].problem


def test_own_files_beside_a_dataset_are_not_surplus(tmp_path):
    text = DESCRIPTION.partition("[tasks.depth]")[0].replace('"image/{id}.png"', '"{id}.png"')
    (tmp_path / "own.toml").write_text(text)
    for split, names in IDS.items():
        listed(tmp_path, split, names)
        for name in names:
            png(tmp_path, ".", name, np.random.default_rng(len(name)).integers(0, 255, (H, W, 3)))
            png(tmp_path, "semseg", name, np.arange(H * W).reshape(H, W) % 4)
    (tmp_path / NAME).write_text(json.dumps(new_record("own", {})))
    assert checkup(str(tmp_path / "own.toml")).surplus == {"": ("own.toml",)}


def test_surplus_files_of_a_large_dataset_are_found_in_little_memory():
    """A dataset as large as Taskonomy is checked where a set of all its names does not fit."""
    kinds, buildings, views = ("rgb", "depth", "normal"), 20, 1000
    large = Survey.__new__(Survey)
    large.kinds, large.listed = kinds, [f"b{b}/{i}" for b in range(buildings) for i in range(views)]
    large.candidates = lambda what, name: (f"{what}/{name}.png", f"{what}/{name}_domain.png")
    entries = {f"{k}/b{b}": {f"{i}_domain.png": False for i in range(views)} for k in kinds for b in range(buildings)}
    entries["depth/b3"]["more.png"] = False
    large.tree, large.description = Mock(entries=entries.get), Mock(splits={"train": "train"})
    tracemalloc.start()
    try:
        found = surplus([large])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == {"depth/b3": ("more.png",)}
    assert peak < 10 * len(kinds) * buildings * views


def test_what_readers_find_out_is_remembered_where_asked(tmp_path):
    synthesize("nyuv2_video", tmp_path / "data", {"train": 4}, (48, 64))
    checkup("nyuv2_video", tmp_path / "data", cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name.startswith("nyuv2_video-poses")


def test_opening_is_shown(own):
    written = []
    line = ProgressLine(written.append, enabled=True)
    line.INTERVAL = 0
    checkup(own, progress=line)
    assert any("looking for the files of val" in text for text in written)


def test_a_split_that_does_not_exist_is_no_fault(tmp_path):
    file = write(tmp_path)
    text = DESCRIPTION.replace('val = "lists/val.txt"', 'val = ""').replace("val = 3\n", "")
    file.write_text(text)
    assert [s.name for s in checkup(str(file)).splits] == ["train"]
