"""Cityscapes with neighbouring frames: round trip, cameras, frames that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from outdoor_copies import COUNTS, SIZE, copy, read, release
from PIL import Image

from mtlrepro.data.disk.readers.cityscapes_sequence import neighbour
from mtlrepro.errors import DataError

BEFORE = "leftImg8bit_sequence/train/aachen/aachen_000001_000018_leftImg8bit.png"


@pytest.mark.parametrize("split", list(COUNTS))
def test_round_trip(split: str) -> None:
    """What the labelled frame has beyond its neighbours is that of Cityscapes."""
    dataset = read("cityscapes_sequence", split)
    assert dataset.left_out == {}
    for name, rendered in release("cityscapes_sequence").scenes(split, 1):
        sample = dataset[dataset.ids.index(name)]
        assert sample["frames"].shape == (2, 3, *SIZE)
        for key in ("image", "semseg", "frames"):
            assert torch.equal(sample[key], rendered[key])
        assert not torch.equal(sample["frames"][0], sample["frames"][1])
        assert sample["intrinsics"].dtype == torch.float32


def test_the_camera_is_that_of_the_pixels_and_its_source_follows_the_rule() -> None:
    at_half = (SIZE[0] // 2, SIZE[1] // 2)
    released, metric = (read("cityscapes_sequence", size=at_half, normals=n)[0] for n in ("released", "metric"))
    assert released["frames"].shape == (2, 3, *at_half)
    x, y = at_half[1] / 2048, at_half[0] / 1024
    expected = torch.tensor([[2262.52 * x, 0, 1097.48 * x], [0, 2265.3017905988554 * y, 513.637 * y], [0, 0, 1]])
    torch.testing.assert_close(released["intrinsics"], expected)
    expected = torch.tensor([[2262.52 * x, 0, 32.0], [0, 2262.52 * y, 16.0], [0, 0, 1]])
    torch.testing.assert_close(metric["intrinsics"], expected)
    for sample in (released, metric):
        assert torch.equal(sample["placement"], torch.tensor([0.5, 0.5, 1.0]).diag())


def test_frames_without_a_neighbour_are_left_out_and_counted(tmp_path: Path) -> None:
    root = copy("cityscapes_sequence", tmp_path, marked=False)
    (root / BEFORE).unlink()
    dataset = read("cityscapes_sequence", base=tmp_path)
    assert len(dataset) == 3
    assert dataset.left_out == {"labelled frames without the frame before or after": 1}
    assert "aachen/aachen_000001_000019" not in dataset.ids
    assert dataset[1]["frames"].shape == (2, 3, *SIZE)


def test_no_neighbour_at_all_is_an_error(tmp_path: Path) -> None:
    root = copy("cityscapes_sequence", tmp_path)
    (root / "leftImg8bit_sequence").rename(root / "leftImg8bit_sequences")
    with pytest.raises(DataError, match="no frame beside any of 4 labelled ones"):
        read("cityscapes_sequence", base=tmp_path)


def test_a_neighbour_of_another_size_is_named(tmp_path: Path) -> None:
    file = copy("cityscapes_sequence", tmp_path) / BEFORE
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(DataError, match=r"000018_leftImg8bit\.png is 8x8"):
        read("cityscapes_sequence", base=tmp_path)[1]


def test_neighbours_keep_the_width_of_their_number() -> None:
    assert neighbour("bochum/bochum_000000_000999", 1) == "bochum/bochum_000000_001000"
    assert neighbour("bochum/bochum_000000_001000", -1) == "bochum/bochum_000000_000999"
    with pytest.raises(DataError, match="does not end in a frame number"):
        neighbour("bochum/first", 1)
