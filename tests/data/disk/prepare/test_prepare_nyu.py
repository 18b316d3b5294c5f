"""NYUD_MT and the 13-class arrays from the labelled .mat file: against the source, and through the real reader."""

import io
import shutil
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from raw_sources import LABELLED, MAP_CLASS, MAPPING, SPLITS, contents, fake_labelled_mat, nyu_source, write_splits
from scipy.io import savemat

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.marker import Marker, read_marker, write_marker
from mtlrepro.data.disk.prepare import PREPARATIONS, prepare
from mtlrepro.data.disk.prepare.nyuv2_13 import THIRTEEN
from mtlrepro.data.disk.readers.pascal_context import context_edges
from mtlrepro.data.disk.synthesize.raw_nyu import LabelledMat
from mtlrepro.data.scenes.classes import NYU13, NYU40
from mtlrepro.data.transforms.basic import resize_image
from mtlrepro.errors import DataError, MissingExtra, SpecError

TRAIN, VAL, SIZE = (2, 3, 5), (1, 4), (48, 64)


@pytest.fixture
def source(tmp_path):
    """(folder of the raw files, (images, depths, labels) in them, data root)."""
    (tmp_path / "root").mkdir()
    return tmp_path / "raw", nyu_source(tmp_path / "raw", TRAIN, VAL, SIZE), tmp_path / "root"


def forty(labels):
    """0 = unlabelled, 1 to 40, class by class."""
    out = np.zeros(labels.shape, np.uint8)
    for stored in np.unique(labels[labels > 0]):
        out[labels == stored] = MAP_CLASS[stored - 1]
    return out


def test_nyud_mt_holds_what_the_mat_file_holds(source):
    raw, (images, depths, labels), root = source
    before = contents(raw)
    assert prepare("nyuv2", raw, root) == root / "NYUD_MT"
    assert contents(raw) == before
    assert [path.name for path in root.iterdir()] == ["NYUD_MT"]
    assert read_marker(root / "NYUD_MT") == Marker("nyuv2", {"train": 3, "val": 2}, SIZE, 0)
    for split, frames in (("train", TRAIN), ("val", VAL)):
        folder = Folder(LAYOUTS / "nyuv2.toml", split, root)
        assert folder.ids == [f"{frame:04d}" for frame in frames]
        for i, frame in enumerate(frames):
            sample = folder[i]
            image, depth, ids = images[frame - 1], depths[frame - 1], forty(labels[frame - 1])
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=98, subsampling=0)
            np.testing.assert_array_equal(sample["image"].movedim(0, -1), np.array(Image.open(stream)))
            np.testing.assert_array_equal(sample["depth"], depth)
            semseg = np.where(ids == 0, 255, ids - 1)
            np.testing.assert_array_equal(sample["semseg"], semseg)
            np.testing.assert_array_equal(sample["edges"], context_edges(ids))
            assert set(sample["edges"].unique().tolist()) == {0, 1}
            length = sample["normals"].norm(dim=0)
            np.testing.assert_allclose(length, 1, atol=1e-6)
            assert (sample["normals"][2] < 0).float().mean() > 0.9
    Folder.check(LAYOUTS / "nyuv2.toml", root)


def test_edges_of_objects_with_unlabelled_gaps_between_them(source):
    """A gap of one or two pixels is one line, also between objects of one class; a wide one has two."""
    raw, _, root = source

    def with_gaps(stored):
        stored[:] = 3
        for left, width in ((10, 1), (20, 2), (30, 6)):
            stored[:, left : left + width] = 0
        return stored

    rewrite(raw, "labels", with_gaps)  # (frames, columns, rows)
    prepare("nyuv2", raw, root)
    edges = np.load(root / "NYUD_MT/edge/0001.npy")
    for row in edges[8:-8]:
        (columns,) = row.nonzero()
        assert len(columns) == 4
        assert abs(columns - [10, 20.5, 29.5, 35.5]).max() <= 0.5


def test_page_says_what_is_not_the_releases(source):
    raw, _, root = source
    text = (prepare("nyuv2", raw, root) / "PROVENANCE.md").read_text()
    assert text.count("not the release's") == 2
    assert "normals/<id>.npy" in text
    assert "quality 98" in text


def test_thirteen_class_arrays(source):
    raw, (images, depths, labels), root = source
    assert prepare("nyuv2_13", raw, root) == root / "nyuv2"
    assert read_marker(root / "nyuv2") == Marker("nyuv2_13", {"train": 3, "val": 2}, (288, 384), 0)
    rows, columns = (np.arange(288) * 2 + 1) * SIZE[0] // 576, (np.arange(384) * 2 + 1) * SIZE[1] // 768
    for split, frames in (("train", TRAIN), ("val", VAL)):
        folder = Folder(LAYOUTS / "nyuv2_13.toml", split, root)
        assert (root / "nyuv2" / "rows" / f"{split}.txt").read_text() == "".join(f"{frame}\n" for frame in frames)
        assert len(folder) == len(frames)
        for i, frame in enumerate(frames):
            sample = folder[i]
            expected = torch.from_numpy(images[frame - 1]).movedim(-1, 0).float() / 255
            torch.testing.assert_close(sample["image"], resize_image(expected, (288, 384)), atol=1e-6, rtol=0)
            np.testing.assert_array_equal(sample["depth"], depths[frame - 1][rows][:, columns])
            ids = forty(labels[frame - 1])[rows][:, columns]
            np.testing.assert_array_equal(sample["semseg"], np.where(ids == 0, 255, THIRTEEN[ids]))
            np.testing.assert_allclose(sample["normals"].norm(dim=0), 1, atol=1e-6)
    stored = np.load(root / "nyuv2/train/label/0.npy")
    assert (stored.dtype, stored.shape) == (np.float32, (288, 384))
    assert np.load(root / "nyuv2/val/depth/1.npy").shape == (288, 384, 1)


def test_forty_to_thirteen_classes():
    """The published `class13Mapping.mat`, and the order of the classes in both sets."""
    published = [12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5]
    published += [7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7]
    assert THIRTEEN.tolist() == [-1, *(n - 1 for n in published)]
    name = dict(zip(NYU40, (NYU13[int(i)] for i in THIRTEEN[1:]), strict=True))
    assert [name[n] for n in ("wall", "floor mat", "television", "blinds", "desk", "night stand", "pillow")] == [
        *("wall", "floor", "tv", "window", "table", "furniture", "objects")
    ]


def test_published_masks_are_warned_of_where_they_would_be_put(source):
    raw, _, root = source
    folder = prepare("nyuv2_13", raw, root)
    assert "No published mask" in (folder / "labels" / "README.md").read_text()
    assert "published label masks do not fit" in (folder / "PROVENANCE.md").read_text()


@pytest.mark.parametrize("name", ["nyuv2", "nyuv2_13"])
def test_interrupted_and_resumed_bits_are_the_same(source, tmp_path, name):
    raw, _, root = source
    (tmp_path / "other").mkdir()
    whole = contents(prepare(name, raw, tmp_path / "other"))

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(name, raw, root, stop)
    (partial,) = root.iterdir()
    assert partial.name.endswith(".partial")
    moved = raw.rename(tmp_path / "moved")  # the same files elsewhere, with other times
    (moved / SPLITS).touch()
    assert contents(prepare(name, moved / LABELLED, root)) == whole


def test_rooms_come_back(tmp_path):
    """From the renderer through the .mat file and the preparation to the reader."""
    raw, root, counts = tmp_path / "raw", tmp_path / "root", {"train": 2, "val": 1}
    raw.mkdir()
    root.mkdir()
    writer = LabelledMat(raw, (120, 160), 0)
    for split, n in counts.items():
        assert len(list(writer.write(split, n))) == n
    write_marker(raw, Marker("nyu_depth_v2", counts, (120, 160), 0))
    assert (raw / LABELLED).read_bytes().startswith(b"MATLAB 7.3")
    prepare("nyuv2", raw, root)
    for split, n in counts.items():
        folder = Folder(LAYOUTS / "nyuv2.toml", split, root)
        for i, (_, room) in enumerate(writer.scenes(split, n)):
            sample = folder[i]
            assert torch.equal(sample["semseg"], room["semseg"])
            assert torch.equal(sample["depth"], room["depth_dense"])
            assert (sample["image"].float() - room["image"].float()).abs().mean() < 2
            cosine = (sample["normals"] * room["normals"]).sum(0).clamp(-1, 1)
            # The rooms' camera looks through the middle of the picture, the Kinect's 3 % beside it.
            assert torch.rad2deg(cosine.acos()).median() < 3


def sparse_release(folder, counts=(795, 654)):
    """A file of the release's shape that holds nothing but zeros, and hence takes no space."""
    folder.mkdir()
    with h5py.File(folder / LABELLED, "w") as stream:
        chunks = {"images": (3, 640, 480), "depths": (640, 480), "labels": (640, 480)}
        types = {"images": "u1", "depths": "f4", "labels": "u2"}
        for name, shape in chunks.items():
            stream.create_dataset(name, (1449, *shape), types[name], chunks=(1, *shape))
    write_splits(folder, range(1, counts[0] + 1), range(counts[0] + 1, sum(counts) + 1))
    savemat(folder / MAPPING, {"mapClass": MAP_CLASS[None].astype(np.uint8)})
    return folder


def test_release_of_full_size_is_taken_frame_by_frame(tmp_path):
    (tmp_path / "root").mkdir()
    seen = []

    def stop(done, total):
        seen.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("nyuv2", sparse_release(tmp_path / "raw"), tmp_path / "root", stop)
    assert seen == [(1, 1449)]
    assert np.load(tmp_path / "root/NYUD_MT.partial/normals/0001.npy").shape == (480, 640, 3)


def refuse(raw, root, kind=DataError):
    with pytest.raises(kind) as caught:
        prepare("nyuv2", raw, root)
    error = caught.value
    assert "\n" not in str(error)
    assert error.mend
    assert not (root / "NYUD_MT").exists()
    return error


def rewrite(raw, name, make):
    with h5py.File(raw / LABELLED, "a") as stream:
        value = stream[name][()]
        del stream[name]
        made = make(value)
        if made is not None:
            stream[name] = made


def beyond(labels):
    labels[2, 5, 5] = 895
    return labels


def nan(depths):
    depths[2, 5, 5] = np.nan
    return depths


BROKEN = {
    "missing": ("images", lambda v: None, "no such array"),
    "python order": ("images", lambda v: v.transpose(0, 3, 2, 1), "expected uint8 of shape (5, 3, 64, 48)"),
    "float images": ("images", lambda v: v / 255, "float64"),
    "16-bit images": ("images", lambda v: v.astype(np.uint16), "uint16 of shape"),
    "fewer depths": ("depths", lambda v: v[:-1], "(4, 64, 48)"),
    "millimetres": ("depths", lambda v: (v * 1000).astype(np.uint16), "expected float32 or float64"),
    "float millimetres": ("depths", lambda v: v * 1000, "expected metres"),
    "nan": ("depths", nan, "frame 3"),
    "labels of another size": ("labels", lambda v: v[:, ::2], "(5, 64, 48)"),
    "class 895": ("labels", beyond, "class 895 in frame 3, expected 0 to 894"),
    "link": ("labels", lambda v: h5py.ExternalLink("/etc/other.h5", "x"), "is a link"),
    "soft link": ("depths", lambda v: h5py.SoftLink("/rawDepths"), "is a link"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_variable_that_is_not_as_released(source, case):
    raw, _, root = source
    field, make, words = BROKEN[case]
    rewrite(raw, field, make)
    error = refuse(raw, root)
    assert (error.file, error.field) == (raw / LABELLED, field)
    assert words in error.problem
    assert "horatio" in error.mend


def test_values_in_other_files_are_not_followed(source):
    raw, (_, _, labels), root = source
    with h5py.File(raw / LABELLED, "a") as stream:
        del stream["labels"]
        shape = (len(labels), *SIZE[::-1])
        stream.create_dataset("labels", shape, "u2", external=[(str(raw / "other.bin"), 0, 2 * labels.size)])
    assert "another file" in refuse(raw, root).problem
    with h5py.File(raw / LABELLED, "a") as stream:
        del stream["labels"]
        stream.create_virtual_dataset("labels", h5py.VirtualLayout(shape, "u2"))
    assert "another file" in refuse(raw, root).problem


@pytest.mark.parametrize("name", [LABELLED, SPLITS, MAPPING])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "text"])
def test_damaged_file(source, name, damage):
    raw, _, root = source
    file = raw / name
    content = file.read_bytes()
    damaged = {"empty": b"", "cut": content[: len(content) // 2], "text": b"<html>404</html>" * 50}
    file.unlink() if damage == "gone" else file.write_bytes(damaged[damage])
    assert refuse(raw, root).file == file
    assert not any(root.iterdir())


def test_block_of_a_frame_that_cannot_be_read(source):
    """The file opens, and a compressed block in it is damaged: the other frames are kept."""
    raw, (_, depths, _), root = source
    with h5py.File(raw / LABELLED, "a") as stream:
        del stream["depths"]
        held = stream.create_dataset("depths", data=depths.transpose(0, 2, 1), chunks=(1, 64, 48), compression=4)
        block = held.id.get_chunk_info(3)
    content = bytearray((raw / LABELLED).read_bytes())
    start = 512 + block.byte_offset if content[:4] != b"\x89HDF" else block.byte_offset
    content[start : start + block.size] = bytes(block.size)
    (raw / LABELLED).write_bytes(content)
    error = refuse(raw, root)
    assert (error.field, error.file) == ("depths", raw / LABELLED)
    assert "frame 4" in error.problem
    assert len(list((root / "NYUD_MT.partial" / "depth").iterdir())) == 3


def test_old_version_of_mat_file(source):
    raw, _, root = source
    savemat(raw / LABELLED, {"images": np.zeros((2, 2))})
    assert "expected version 7.3" in refuse(raw, root).problem
    nyu_source(raw.with_name("again"), TRAIN, VAL, SIZE)
    shutil.copy(raw.with_name("again") / LABELLED, raw / LABELLED)
    fake_labelled_mat(raw / SPLITS, 1, 4, 4)
    assert refuse(raw, root).file == raw / SPLITS


WRONG_SPLITS = {
    "swapped": (VAL, TRAIN, "swapped"),
    "short": ((2, 3), VAL, "2 frames, expected 3"),
    "from 0": ((0, 2, 3), (1, 4), "listed twice, or another is missing"),
    "in both": ((2, 3, 4), (1, 4), "frame 4"),
    "beyond": ((2, 3, 6), (1, 4), "frame 6"),
}


@pytest.mark.parametrize("case", WRONG_SPLITS)
def test_wrong_splits(source, case):
    raw, _, root = source
    train, val, words = WRONG_SPLITS[case]
    write_splits(raw, train, val)
    error = refuse(raw, root)
    assert error.file == raw / SPLITS
    assert words in error.problem


def test_swapped_splits_of_the_release(tmp_path):
    (tmp_path / "root").mkdir()
    error = refuse(sparse_release(tmp_path / "raw", (654, 795)), tmp_path / "root")
    assert (error.field, error.problem) == ("trainNdxs", "654 frames, expected 795; are the lists swapped?")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("other", MAP_CLASS, "the file holds other"),
        ("mapClass", MAP_CLASS[:-1], "893 values"),
        ("mapClass", MAP_CLASS - 1, "from 0 to 39"),
        ("mapClass", MAP_CLASS + 0.5, "whole numbers"),
        ("mapClass", np.array([["a", "b"]], object), "whole numbers"),
    ],
)
def test_wrong_mapping(source, variable, value, words):
    raw, _, root = source
    savemat(raw / MAPPING, {variable: value})
    error = refuse(raw, root)
    assert (error.file, error.field) == (raw / MAPPING, "mapClass")
    assert words in error.problem


def test_unmarked_copy_of_another_size_is_not_the_release(tmp_path):
    (tmp_path / "root").mkdir()
    nyu_source(tmp_path / "raw", TRAIN, VAL, SIZE, marked=False)
    assert "expected uint8 of shape (1449, 3, 640, 480)" in str(refuse(tmp_path / "raw", tmp_path / "root"))


def test_without_h5py(source, monkeypatch):
    raw, _, root = source
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "mtlrepro[hdf5]" in refuse(raw, root, MissingExtra).mend


def test_target_is_checked_before_the_source(tmp_path):
    (tmp_path / "NYUD_MT").mkdir()
    with pytest.raises(DataError, match="there already"):
        prepare("nyuv2", tmp_path / "none", tmp_path)


def test_unknown_preparation(tmp_path):
    with pytest.raises(SpecError, match="nyuv2"):
        prepare("nyuv", tmp_path, tmp_path)
    for name, preparation in PREPARATIONS.items():
        assert (LAYOUTS / f"{name}.toml").is_file()
        assert "\n" not in preparation.help
        assert preparation.needs
