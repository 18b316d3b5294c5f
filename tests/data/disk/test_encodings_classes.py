"""Class ids by a map, in one channel of several, or as colours."""

import numpy as np
import pytest
import torch
from encoding_files import IDS, RANDOM, RGB, H, W, png16, read, refused, saved, saved16
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtlrepro.errors import DataError

MAP = ((7, 0), (8, 2), (300, 1), (65535, 2))


@pytest.mark.parametrize("name", ["0.png", "0.npy"])
def test_ids_by_a_map_and_no_label_elsewhere(tmp_path, name):
    stored = np.array([[7, 8, 0], [255, 254, 7]], np.uint8)
    out = read(saved(tmp_path, stored, name), "semseg", ignore=(), map=MAP)
    assert out.dtype == torch.uint8
    assert out.tolist() == [[0, 2, 255], [255, 255, 0]]


def test_sixteen_bit_ids_by_a_map(tmp_path):
    stored = np.array([[7, 300, 299], [65535, 44, 0]], np.uint16)
    want = [[0, 1, 255], [2, 255, 255]]
    assert read(saved(tmp_path, stored), "semseg", ignore=(), map=MAP).tolist() == want
    assert read(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).tolist() == want


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_npy_ids_far_out_of_a_map(tmp_path, dtype):
    stored = np.array([[-1, 65536, 7, -(2**40), 2**40]], dtype)
    assert read(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).tolist() == [[255, 255, 0, 255, 255]]
    if dtype == np.float64:
        stored[0, 0] = 7.5
        assert "7.5 (1 such pixels)" in refused(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).problem


@given(st.dictionaries(st.integers(0, 65535), st.integers(0, 254), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_a_map_is_what_its_pairs_say(tmp_path_factory, pairs, seed):
    random = np.random.default_rng(seed)
    stored = np.where(
        random.random((5, 6)) < 0.5, random.choice(list(pairs), (5, 6)), random.integers(0, 65536, (5, 6))
    )
    file = saved(tmp_path_factory.getbasetemp(), stored.astype(np.uint16), "map.png")
    out = read(file, "semseg", ignore=(), map=tuple(sorted(pairs.items())))
    assert out.tolist() == [[pairs.get(v, 255) for v in row] for row in stored.tolist()]


@pytest.mark.parametrize(("name", "dtype"), [("0.png", np.uint8), ("0.png", np.uint16), ("0.npy", np.int64)])
def test_ids_that_neither_map_nor_ignore_names(tmp_path, name, dtype):
    ignore = (-1, 0, 255)
    stored = np.array([[7, 8, 0], [255, 0, 7]], dtype)
    want = [[0, 2, 255], [255, 255, 0]]
    assert read(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP).tolist() == want
    for wrong in (77, *((-2, 2**40) if dtype == np.int64 else ())):
        stored[0, :2] = wrong
        error = refused(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP)
        assert error.problem == f"label id {wrong} (2 pixels), but neither map nor ignore names it"
        assert f"if {wrong} means no label, add it to ignore" in error.mend
    if dtype == np.int64:
        stored[0, :2] = -1
        assert read(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP).tolist()[0] == [255, 255, 255]
        assert "label id -1" in refused(saved(tmp_path, stored, name), "semseg", ignore=(0, 255), map=MAP).problem


def test_ids_in_one_channel_of_sixteen_bits(tmp_path):
    stored = RANDOM.integers(0, 65536, (H, W, 3)).astype(np.uint16)
    stored[..., 1] = RANDOM.choice([7, 8, 300, 9], (H, W))
    out = read(saved16(tmp_path, stored), "semseg", ignore=(), map=MAP, channel=1)
    assert out.tolist() == [[dict(MAP).get(v, 255) for v in row] for row in stored[..., 1].tolist()]
    ids = np.zeros((H, W, 3), np.uint16)
    ids[0, 0], ids[0, 1] = 2, 255
    assert read(saved16(tmp_path, ids), "semseg", channel=0)[0, :3].tolist() == [2, 255, 0]
    ids[0, 2] = 300
    assert "label id 300 (1 pixels)" in refused(saved16(tmp_path, ids), "semseg", channel=0).problem


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_in_one_channel_of_sixteen_bits(tmp_path, channels):
    stored = RANDOM.integers(0, 65536, (H, W, channels)).astype(np.uint16)
    out = read(saved16(tmp_path, stored[..., 0] if channels == 1 else stored), "depth", unit=0.01, channel=0)
    assert np.allclose(out.numpy(), stored[..., 0] / 100, rtol=1e-6, atol=0)


def test_a_channel_of_eight_bits(tmp_path):
    assert np.array_equal(read(saved(tmp_path, RGB), "depth", unit=1.0, channel=2).numpy(), RGB[..., 2])
    assert np.array_equal(read(saved(tmp_path, IDS), "depth", unit=1.0, channel=0).numpy(), IDS)


@pytest.mark.parametrize("task", ["semseg", "depth"])
def test_channels_that_are_not_there(tmp_path, task):
    error = refused(saved(tmp_path, RGB), task, channel=3)
    assert error.field == task
    assert error.problem == "PNG has 3 channels, and channel is 3 (the first is 0)"
    palette = refused(saved(tmp_path, Image.fromarray(IDS).convert("P")), task, channel=0)
    assert "PNG mode is P" in palette.problem
    error = refused(saved16(tmp_path, np.zeros((H, W, 2))), task, channel=0)
    assert "stored as LA;16B" in error.problem


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3), st.floats(0, 1))
@pytest.mark.filterwarnings("ignore")
def test_damage_of_sixteen_bit_files(tmp_path_factory, changes, kept):
    data = bytearray(png16(RANDOM.integers(0, 65536, (H, W, 3)).astype(np.uint16)))
    for place, value in changes:
        data[int(place * len(data))] = value
    file = tmp_path_factory.getbasetemp() / "damaged16.png"
    file.write_bytes(data[: round(kept * len(data))])
    try:
        depth = read(file, "depth", channel=0)
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017 - both outcomes are fine, other exceptions are not
    else:
        assert depth.ndim == 2


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.8])
def test_truncated_sixteen_bit_files(tmp_path, kept):
    file = saved16(tmp_path, RANDOM.integers(0, 65536, (64, 64, 3)).astype(np.uint16))
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    error = refused(file, "depth", channel=0)
    assert "cannot be read" in error.problem
    assert "truncated or damaged" in error.mend
    assert "no such file" in refused(tmp_path / "none.png", "depth", channel=0).problem


# colours


COLOURS = ((210, 0, 200), (90, 200, 255), (0, 0, 0))


def test_colours_are_ids_and_other_colours_no_label(tmp_path):
    stored = np.array([[(210, 0, 200), (90, 200, 255), (0, 0, 0), (210, 0, 201), (200, 0, 210)]], np.uint8)
    out = read(saved(tmp_path, stored), "semseg", ignore=(), colours=COLOURS)
    assert out.dtype == torch.uint8
    assert out.tolist() == [[0, 1, 2, 255, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_colours_need_rgb(tmp_path, mode):
    error = refused(saved(tmp_path, Image.fromarray(RGB).convert(mode)), "semseg", ignore=(), colours=COLOURS)
    assert error.problem == f"PNG mode is {mode}, expected RGB"
