"""Raw Cityscapes: conformance of label and disparity codes, round trip, small copies, wrong files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from outdoor_copies import COUNTS, SIZE, check_normals, copy, read, release
from PIL import Image

from mtlrepro.data import dataset_info
from mtlrepro.data.disk.readers import cityscapes
from mtlrepro.data.disk.readers.cityscapes import Cityscapes, disparity_to_depth
from mtlrepro.data.disk.readers.outdoor import Outdoor
from mtlrepro.data.disk.readers.resizing import lanczos, nearest
from mtlrepro.data.scenes.render import trace
from mtlrepro.data.scenes.streets import labels
from mtlrepro.data.scenes.streets.layout import layout
from mtlrepro.data.surface import camera_matrix, normals_from_depth
from mtlrepro.errors import DataError, SpecError

FIRST = "aachen/aachen_000000_000019"
X = 255
IDS = {
    16: [X] * 7 + [0, 1, X, X, 2, 3, 4, X, X, X, 5, X, 6, 7, 8, X, 9, 10, 11, 12, X, 13, X, X, X, 14, 15],
    8: [X] * 7 + [0, X, X, X, 1, X, X, X, X, X, 2, X, 3, 4, 5, X, 6, X, X, 7, X, 7, X, X, X, X, X],
    19: [X] * 7 + [0, 1, X, X, 2, 3, 4, X, X, X, 5, X, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, X, X, 16, 17, 18],
}


def test_conformance_of_disparity() -> None:
    codes = torch.tensor([[0, 1, 2, 257, 1281, 5121, 12801, 32001]])
    depth = disparity_to_depth(codes, 0.209313 * 2262.52)[0]
    metres = [0, 0, 121235.16, 473.5750, 94.71497, 23.67874, 9.471498, 3.788599]
    torch.testing.assert_close(depth, torch.tensor(metres), rtol=1e-6, atol=0)
    inverse = 65536 / (100 * depth[2:] + 1)
    expected = [0.00540569, 1.383828, 6.918556, 27.665463, 69.119881, 172.526779]
    torch.testing.assert_close(inverse, torch.tensor(expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize("classes", [16, 8, 19])
def test_conformance_of_label_ids(classes: int, tmp_path: Path) -> None:
    file = tmp_path / "ids.png"
    stored = np.array([[*range(34), 255]], np.uint8)
    Image.fromarray(stored).save(file)
    found = read("cityscapes", classes=classes).stored_classes({"semseg": file})[0].tolist()
    assert found == [*IDS[classes], X]
    for wrong in (34, 77, 254):
        stored[0, 3:5] = wrong
        Image.fromarray(stored).save(file)
        with pytest.raises(DataError, match=rf"label id {wrong} \(2 pixels\), but neither map nor ignore names it"):
            read("cityscapes", classes=classes).stored_classes({"semseg": file})
    info = dataset_info("cityscapes", (("classes", classes),))
    assert len(info.class_names) == len(info.palette) == classes
    copy_info = read("cityscapes", classes=classes).info  # pictures of a copy are as large as the copy says
    assert (info.full_size, copy_info.full_size) == ((1024, 2048), SIZE)
    assert replace(copy_info, full_size=info.full_size) == info


def test_walls_may_be_vegetation_among_8_classes(tmp_path: Path) -> None:
    file = tmp_path / "ids.png"
    Image.fromarray(np.arange(34, dtype=np.uint8)[None]).save(file)
    found = read("cityscapes", classes=8, wall="vegetation").stored_classes({"semseg": file})[0].tolist()
    assert [i for i in range(34) if found[i] != IDS[8][i]] == [12]
    assert found[12] == found[21]
    said = {wall: Cityscapes.remark(classes=8, wall=wall) for wall in ("ignore", "vegetation")}
    assert "wall=ignore (as in the public code, unlike in the paper's table 8)" in said["ignore"]
    assert "wall=vegetation (as in the paper's table 8, unlike in the public code)" in said["vegetation"]
    assert said["ignore"] == Cityscapes.remark(classes=8)
    for classes in (16, 19):  # there, a wall is a wall
        assert Cityscapes.remark(classes=classes) == Outdoor.remark()
    with pytest.raises(SpecError, match="unknown place for walls 'fence'"):
        Cityscapes.remark(classes=8, wall="fence")
    with pytest.raises(SpecError, match="wall: 'vegetation' has a meaning among 8 classes only"):
        dataset_info("cityscapes", (("wall", "vegetation"),))


@pytest.mark.parametrize("split", list(COUNTS))
def test_round_trip(split: str) -> None:
    """Half a step of disparity is 1 / 512 of a pixel: so far off may 1 / depth be, times focal length and baseline."""
    dataset, writer = read("cityscapes", split), release("cityscapes")
    bound = 1 / 512 / (2262.52 * SIZE[1] / 2048 * labels.BASELINE)
    for name, rendered in writer.scenes(split, COUNTS[split]):
        sample = dataset[dataset.ids.index(name)]
        assert list(sample) == ["image", "semseg", "depth", "normals", "intrinsics", "placement"]
        assert torch.equal(sample["image"], rendered["image"])
        assert torch.equal(sample["semseg"], rendered["semseg"])
        valid = rendered["depth"] > 0
        assert torch.equal(sample["depth"] > 0, valid)
        error = (1 / sample["depth"][valid].double() - 1 / rendered["depth"][valid].double()).abs()
        assert float(error.max()) <= bound + 1e-7
        assert check_normals(sample, rendered) > 500
    assert dataset.check(dataset.description, dataset.root.parent) == dataset.root


def test_metric_normals_are_the_renderers_with_z_turned_round() -> None:
    dataset = read("cityscapes", normals="metric")
    agreements = []
    for i in range(len(dataset)):
        sample, scene = dataset[i], layout(0, i)
        true = labels.normals(
            trace(scene, scene.cameras[0], *SIZE, torch.device("cpu")), scene.cameras[0], sample["semseg"]
        )
        true = true * torch.tensor([1.0, 1.0, -1.0])[:, None, None]
        road = (sample["semseg"] == 0) & (sample["depth"] < 12) & (sample["normals"] != 0).any(0)
        agreements.append((sample["normals"] * true).sum(0)[road])
        assert float((sample["normals"][1][road] < -0.9).float().mean()) > 0.8, "roads face up"
    assert len(torch.cat(agreements)) > 300
    assert float(torch.cat(agreements).median()) > 0.99


def test_validation_counts_no_normals_beyond_80_metres() -> None:
    train, val = read("cityscapes", "val"), read("cityscapes", "val")
    train.split = "train"
    far = (val[0]["depth"] >= 80) & (train[0]["normals"] != 0).any(0)
    assert far.any()
    assert not val[0]["normals"][:, far].any()
    assert torch.equal(train[0]["depth"], val[0]["depth"])


@pytest.mark.parametrize("rule", ["released", "metric"])
def test_everything_is_resized_before_normals_are_made(rule: str) -> None:
    size = (40, 72)
    full, small = read("cityscapes")[1], read("cityscapes", size=size, normals=rule)[1]
    assert torch.equal(small["image"], lanczos(full["image"], size))
    for task in ("semseg", "depth"):
        assert torch.equal(small[task], nearest(full[task], size, "centre"))
    constants = {"fx": 2262.52, "fy": 2265.3017905988554, "cx": 1096.98 + 0.5, "cy": 513.137 + 0.5}
    cameras = {
        "released": camera_matrix({**constants, "width": 2048, "height": 1024}, SIZE),
        "metric": camera_matrix(
            {"fx": 2262.52, "fy": 2262.52, "cx": 1024, "cy": 512, "width": 2048, "height": 1024}, size
        ),
    }
    expected = normals_from_depth(small["depth"], cameras[rule], rule)
    torch.testing.assert_close(small["normals"], expected)


def test_small_copies_are_taken_at_their_size_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cityscapes, "SMALL", (32, 64))
    root = copy("cityscapes", tmp_path)
    assert read("cityscapes", base=tmp_path, size=(32, 64))[0]["image"].shape == (3, 32, 64)
    mark = np.full((32, 64, 3), 7, np.uint8)
    small = root / "leftImg8bit_small" / "train" / f"{FIRST}_leftImg8bit.jpg"
    small.parent.mkdir(parents=True)
    Image.fromarray(mark).save(small, quality=98, subsampling=0)
    dataset = read("cityscapes", base=tmp_path, size=(32, 64))
    assert bool((dataset[0]["image"] == 7).all())
    assert dataset[1]["image"].float().std() > 10, "those without a copy are resized"
    assert f"leftImg8bit_small/train/{FIRST}_leftImg8bit.jpg" in dataset.files()
    assert not any("small" in file for file in read("cityscapes", base=tmp_path, size=(30, 64)).files())
    Image.fromarray(mark[:-1]).save(small)
    with pytest.raises(DataError, match=r"label is 64x128 .*_small.* is 31x64"):
        dataset[0]


def _without_baseline(path: Path) -> None:
    value = json.loads(path.read_text())
    del value["extrinsic"]["baseline"]
    path.write_text(json.dumps(value))


def _with_focal_length(text: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        value = json.loads(path.read_text())
        value["intrinsic"]["fx"] = "here"
        path.write_text(json.dumps(value).replace('"here"', text))

    return change


def _eight_bits(path: Path) -> None:
    Image.fromarray((np.array(Image.open(path)) / 256).astype(np.uint8)).save(path)


def _cropped(path: Path) -> None:
    Image.fromarray(np.array(Image.open(path))[:-1]).save(path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "camera/train/{}_camera.json",
            _without_baseline,
            r"extrinsic\.baseline: expected a number from 1e-06 to 1e\+06, got None",
        ),
        *(
            ("camera/train/{}_camera.json", _with_focal_length(text), rf"intrinsic\.fx: expected .*, got {shown}")
            for text, shown in (
                *(("true", "True"), ("1e308", "1e"), ("1e6", "1000000"), ("1e999", "inf"), ("NaN", "nan")),
                *(("0", "0"), ("-5", "-5"), ("1e-300", "1e-300"), ('"5"', "'5'"), ("1" + "0" * 400, "10")),
            )
        ),
        ("camera/train/{}_camera.json", lambda p: p.write_text("{"), "cannot be read as JSON"),
        ("camera/train/{}_camera.json", lambda p: p.write_text("[]"), "expected a number"),
        ("disparity/train/{}_disparity.png", _eight_bits, "PNG mode is L, expected one channel of 16 bits"),
        ("disparity/train/{}_disparity.png", _cropped, "label is 63x128"),
        ("gtFine/train/{}_gtFine_labelIds.png", _cropped, "label is 64x128"),
        ("leftImg8bit/train/{}_leftImg8bit.png", _cropped, "label is 64x128"),
        ("leftImg8bit/train/{}_leftImg8bit.png", lambda p: p.write_bytes(p.read_bytes()[:300]), "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(file: str, change: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = copy("cityscapes", tmp_path) / file.format(FIRST)
    change(path)
    with pytest.raises(DataError, match=message) as caught:
        read("cityscapes", base=tmp_path)[0]
    assert path.name in str(caught.value)
    assert read("cityscapes", base=tmp_path)[1]


@pytest.mark.parametrize("file", ["camera/train/{}_camera.json", "disparity/train/{}_disparity.png"])
def test_a_missing_file_is_named_before_any_is_read(file: str, tmp_path: Path) -> None:
    path = copy("cityscapes", tmp_path) / file.format(FIRST)
    path.unlink()
    with pytest.raises(DataError, match=r"1 of 4 .* files of the train split are missing") as caught:
        read("cityscapes", base=tmp_path)
    assert str(path) in str(caught.value)


def test_no_labels_and_too_few_labels(tmp_path: Path) -> None:
    root = copy("cityscapes", tmp_path, marked=False)
    with pytest.raises(DataError, match="the train split has 4 samples, expected 2975"):
        read("cityscapes", base=tmp_path)
    (root / "gtFine").rename(root / "gtfine")
    with pytest.raises(DataError, match="no labels of the train split"):
        read("cityscapes", base=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 17}, "classes: 17 classes. Give 16 or 19 or 8"),
        ({"normals": "paper"}, "unknown rule for normals 'paper'"),
        ({"wall": "fence"}, "unknown place for walls 'fence'"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read("cityscapes", **options)
    with pytest.raises(SpecError, match=message):
        dataset_info("cityscapes", tuple(options.items()))


def test_options_are_part_of_the_digest() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"normals": "metric"},
        {"classes": 19},
        {"classes": 8},
        {"classes": 8, "wall": "vegetation"},
    ]
    digests = {read("cityscapes", **option).digest() for option in [*options, {"size": (32, 64)}]}
    assert len(digests) == 6
