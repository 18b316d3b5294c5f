"""Synthia: conformance of label ids, round trip, 16 bits of several channels, wrong files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from outdoor_copies import COUNTS, SIZE, check_normals, copy, read, release
from PIL import Image

from mtlrepro.data.disk.readers.resizing import nearest
from mtlrepro.data.disk.synthesize.outdoor import png_16_bit_rgb
from mtlrepro.data.surface import camera_matrix, normals_from_depth
from mtlrepro.errors import DataError

X = 255
IDS = [X, 9, 2, 0, 1, 4, 8, 5, 12, 7, 10, 15, 14, X, X, 6, X, 11, X, 13, X, 3, X]


def test_conformance_of_label_ids(tmp_path: Path) -> None:
    file = tmp_path / "labels.png"
    values = np.zeros((1, len(IDS), 3), np.uint16)
    values[0, :, 0], values[0, :, 1] = np.arange(len(IDS)), 40_000 - np.arange(len(IDS))
    file.write_bytes(png_16_bit_rgb(values))
    assert read("synthia").stored_classes({"semseg": file})[0].tolist() == IDS


@pytest.mark.parametrize("value", [23, 77, 300])
def test_ids_that_there_are_not(value: int, tmp_path: Path) -> None:
    file = tmp_path / "labels.png"
    file.write_bytes(png_16_bit_rgb(np.full((2, 3, 3), value, np.uint16)))
    with pytest.raises(DataError, match=rf"label id {value} \(6 pixels\)"):
        read("synthia").stored_classes({"semseg": file})


@pytest.mark.parametrize(
    "stored",
    [np.full((2, 3), 3, np.uint8), np.full((2, 3, 3), 3, np.uint8), np.full((2, 3), 3, np.uint16)],
)
def test_labels_are_several_channels_of_sixteen_bits(stored: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "labels.png"
    Image.fromarray(stored).save(file)
    with pytest.raises(DataError, match="not a PNG of several channels of 16 bits") as caught:
        read("synthia").stored_classes({"semseg": file})
    assert (caught.value.file, caught.value.field) == (file, "semseg")
    file.write_text("<html>")
    with pytest.raises(DataError, match="cannot be read"):
        read("synthia").stored_classes({"semseg": file})


@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")  # torchvision is the oracle
def test_the_png_writer_keeps_sixteen_bits(tmp_path: Path) -> None:
    from torchvision.io import ImageReadMode, decode_png

    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    data = png_16_bit_rgb(values)
    read_back = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    assert np.array_equal(read_back.permute(1, 2, 0).numpy(), values)
    file = tmp_path / "a.png"
    file.write_bytes(data)
    with Image.open(file) as image:
        image.verify()
        assert image.size == (7, 5)


@pytest.mark.parametrize("split", list(COUNTS))
def test_round_trip(split: str) -> None:
    dataset = read("synthia", split)
    found = list(release("synthia").scenes(split, COUNTS[split]))
    assert sorted(name for name, _ in found) == sorted(dataset.ids)
    sky = 0
    for name, rendered in found:
        sample = dataset[dataset.ids.index(name)]
        assert list(sample) == ["image", "semseg", "depth", "normals", "intrinsics", "placement"]
        assert torch.equal(sample["image"], rendered["image"])
        assert torch.equal(sample["semseg"], rendered["semseg"])
        assert float((sample["depth"] - rendered["depth"]).abs().max()) <= 0.00501, "half a centimetre"
        assert bool((sample["depth"] > 0).all())
        far = sample["semseg"] == 9
        sky += int(far.sum())
        assert torch.equal(sample["depth"][far], torch.full_like(sample["depth"][far], 655.35))
        assert check_normals(sample, rendered) > 2000
        has_normal = (sample["normals"] != 0).any(0)
        if split == "train":
            assert bool(has_normal[2:-2, 2:-2].all()), "the sky counts"
        else:
            assert not has_normal[far].any()
    assert sky > 500


def test_half_a_pixel_of_the_principal_point_is_less_than_a_tenth_of_a_degree() -> None:
    """The release's camera as readers take it, against the renderer's."""
    release_camera = {"width": 1280, "height": 760, "fx": 532.740352, "fy": 532.740352, "cx": 640.5, "cy": 380.5}
    depth = read("synthia")[0]["depth"]
    theirs, ours = (
        normals_from_depth(depth, camera_matrix(camera, SIZE), "metric")
        for camera in (release_camera, {**release_camera, "cx": 640, "cy": 380})
    )
    chord = (theirs - ours).double().norm(dim=0)
    assert 0 < float(torch.rad2deg(2 * torch.asin(chord / 2)).max()) < 0.1


def test_depth_is_resized_by_rounding_down_and_classes_by_centres() -> None:
    size = (40, 100)
    full, small = read("synthia")[0], read("synthia", size=size)[0]
    assert torch.equal(small["depth"], nearest(full["depth"], size, "floor"))
    assert torch.equal(small["semseg"], nearest(full["semseg"], size, "centre"))
    assert small["image"].shape == (3, *size)


def test_depth_may_have_three_channels(tmp_path: Path) -> None:
    root = copy("synthia", tmp_path)
    expected = read("synthia", base=tmp_path)[0]["depth"]
    file = root / "Depth" / "Depth" / f"{read('synthia', base=tmp_path).ids[0]}.png"
    values = np.array(Image.open(file)).astype(np.uint16)
    file.write_bytes(png_16_bit_rgb(np.repeat(values[..., None], 3, -1)))
    assert torch.equal(read("synthia", base=tmp_path)[0]["depth"], expected)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("Depth/Depth", "an 8-bit PNG, but values up to 65535 are expected"),
        ("GT/LABELS", "not a PNG of several channels of 16 bits"),
    ],
)
def test_a_wrong_file_is_named(folder: str, message: str, tmp_path: Path) -> None:
    root = copy("synthia", tmp_path)
    name = read("synthia", base=tmp_path).ids[0]
    picture = Image.new("L" if folder.startswith("Depth") else "P", (SIZE[1], SIZE[0]), 3)
    picture.save(root / folder / f"{name}.png")
    with pytest.raises(DataError, match=message) as caught:
        read("synthia", base=tmp_path)[0]
    assert f"{name}.png" in str(caught.value)
