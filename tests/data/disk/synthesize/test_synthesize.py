"""Synthetic copies: complete or absent, the same bytes for the same parameters, and never in place of real files."""

import errno
import hashlib
import json
import shutil
import signal
import subprocess
import sys

import pytest

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk import synthesize as package
from mtlrepro.data.disk.marker import NAME, Marker, read_marker, write_marker
from mtlrepro.data.disk.synthesize import HELD_BY, RAW, WRITERS, find_copy, synthesize
from mtlrepro.data.disk.synthesize.base import Writer
from mtlrepro.data.disk.synthesize.draft import draft
from mtlrepro.errors import DataError, SpecError
from mtlrepro.progress import ProgressLine
from mtlrepro.registry import Registry

COUNTS, SIZE = {"train": 2, "val": 1}, (32, 64)


def content(root):
    """Path -> hash of every file below a folder."""
    files = sorted(f for f in root.rglob("*") if f.is_file())
    return {f.relative_to(root).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class Failing(Writer):
    """Writes one sample, then raises."""

    native = (32, 32)
    error: BaseException

    def scenes(self, split, n):
        raise NotImplementedError

    def write(self, split, n):
        self.lines(f"{split}/0.txt", ["half"])
        yield
        raise self.error


@pytest.fixture
def failing(monkeypatch):
    """`nyuv2` written by `Failing`."""
    monkeypatch.setattr(package, "WRITERS", Registry("layout", {"nyuv2": f"{__name__}:Failing"}))
    return Failing


def test_the_marker_says_what_was_asked_for(tmp_path):
    root = synthesize("nyuv2", tmp_path, COUNTS, SIZE, seed=3)
    assert root == tmp_path / "NYUD_MT"
    assert json.loads((root / NAME).read_text()) == {
        "schema": 1,
        "dataset": "nyuv2",
        "counts": COUNTS,
        "size": list(SIZE),
        "seed": 3,
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["NYUD_MT"]


def test_a_split_that_the_layout_has_not_is_left_out(tmp_path):
    pytest.importorskip("h5py")
    marker = read_marker(synthesize("nyuv2_depth", tmp_path, COUNTS, SIZE))
    assert marker is not None
    assert marker.counts == {"train": 2}


def test_the_default_size_is_the_writers_own(tmp_path):
    marker = read_marker(synthesize("cityscapes_7", tmp_path, {"train": 1, "val": 1}))
    assert marker is not None
    assert marker.size == (128, 256)


@pytest.mark.parametrize("name", WRITERS)
def test_same_parameters_same_bytes(tmp_path, name):
    pytest.importorskip("h5py")
    one, again = (content(synthesize(name, tmp_path / part, COUNTS, SIZE)) for part in "ab")
    assert len(one) >= 3
    assert again == one


def test_more_samples_keep_the_first_and_another_seed_is_other_scenes(tmp_path):
    one = content(synthesize("nyuv2", tmp_path / "a", COUNTS, SIZE))
    more = content(synthesize("nyuv2", tmp_path / "c", {"train": 3, "val": 2}, SIZE))
    lists = {NAME, "gt_sets/train.txt", "gt_sets/val.txt"}
    assert {path: more[path] for path in one if path not in lists} == {k: v for k, v in one.items() if k not in lists}
    other = content(synthesize("nyuv2", tmp_path / "d", COUNTS, SIZE, seed=1))
    images = [path for path in one if path.startswith("images/")]
    assert len(images) == 3
    assert len({one[path] for path in images}) == 3
    assert all(one[path] != other[path] for path in images)


def test_an_equal_copy_is_kept_untouched(tmp_path):
    root = synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    before = {f: f.stat().st_mtime_ns for f in root.rglob("*")}
    assert synthesize("nyuv2", tmp_path, COUNTS, SIZE) == root
    assert {f: f.stat().st_mtime_ns for f in root.rglob("*")} == before


def test_another_copy_is_refused(tmp_path):
    root = synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    before = content(root)
    with pytest.raises(DataError, match=r"other parameters .*2 train, 1 val, 32x64, seed 0.* Delete it") as caught:
        synthesize("nyuv2", tmp_path, {"train": 3, "val": 1}, SIZE)
    assert caught.value.file == root
    assert content(root) == before


@pytest.mark.parametrize(("name", "holder"), HELD_BY.items())
def test_a_copy_that_holds_another_dataset_serves_for_it(tmp_path, name, holder):
    root = synthesize(holder, tmp_path / "a", COUNTS, SIZE)
    assert synthesize(name, tmp_path / "a", COUNTS, SIZE) == root
    found = find_copy(name, tmp_path / "a")
    assert found is not None
    assert found.dataset == holder
    one, held = content(synthesize(name, tmp_path / "b", COUNTS, SIZE)), content(root)
    assert all(held[path] == value for path, value in one.items() if path != NAME)
    with pytest.raises(DataError, match="other parameters"):
        synthesize(holder, tmp_path / "b", COUNTS, SIZE)
    assert find_copy(holder, tmp_path / "b") is None


@pytest.mark.parametrize("there", ["folder", "link to an empty folder", "file", "dangling link"])
def test_what_is_not_a_synthetic_copy_is_never_touched(tmp_path, there):
    root = tmp_path / "NYUD_MT"
    (tmp_path / "elsewhere").mkdir()
    if there == "folder":
        (root / "images").mkdir(parents=True)
    elif there == "link to an empty folder":
        root.symlink_to(tmp_path / "elsewhere")
    elif there == "file":
        root.write_text("mine")
    elif there == "dangling link":
        root.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    assert caught.value.file is not None
    assert root.name in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["NYUD_MT", "elsewhere"]
    assert not any((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "nowhere").exists()
    assert not root.is_file() or root.read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_nothing_stays_of_what_is_interrupted(tmp_path, failing, error):
    failing.error = error
    with pytest.raises(type(error)):
        synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, failing):
    failing.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DataError, match=r"NYUD_MT: cannot be written \(No space left on device\)\. Free space"):
        synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_that_a_library_does_not_name(tmp_path, failing, monkeypatch):
    """numpy tells how many items it could not write, without an error number."""
    failing.error = OSError("1024 requested and 0 written")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))
    with pytest.raises(DataError, match="No space left on device"):
        synthesize("nyuv2", tmp_path, COUNTS, SIZE)


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "NYUD_MT").mkdir()
    assert read_marker(synthesize("nyuv2", tmp_path, COUNTS, SIZE)) is not None


KILLED = """
import os, signal, sys
from pathlib import Path
from mtlrepro.data.disk.synthesize.draft import draft
with draft(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "NYUD_MT")], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "half.txt").is_file()
    mine = [tmp_path / name for name in (".NYUD_MT-notes", ".NYUD_MT-0123456", ".other-01234567")]
    for folder in mine:
        folder.mkdir()
    with draft(tmp_path / "NYUD_MT") as living:
        synthesize("nyuv2", tmp_path, COUNTS, SIZE)
        assert set(tmp_path.iterdir()) == {living, tmp_path / "NYUD_MT", *mine}
    assert set(tmp_path.iterdir()) == {tmp_path / "NYUD_MT", *mine}


class Overtaken(Failing):
    """Another process finishes a copy while this one writes."""

    counts: dict

    def write(self, split, n):
        yield
        rival = self.root.parent / "NYUD_MT"
        if not rival.exists():
            rival.mkdir()
            write_marker(rival, Marker("nyuv2", self.counts, SIZE, 0))


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once_end_with_one_copy(tmp_path, monkeypatch, same):
    monkeypatch.setattr(package, "WRITERS", Registry("layout", {"nyuv2": f"{__name__}:Overtaken"}))
    Overtaken.counts = COUNTS if same else {"train": 9, "val": 1}
    if same:
        assert synthesize("nyuv2", tmp_path, COUNTS, SIZE) == tmp_path / "NYUD_MT"
    else:
        with pytest.raises(DataError, match="other parameters"):
            synthesize("nyuv2", tmp_path, COUNTS, SIZE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["NYUD_MT"]


def test_a_data_root_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        synthesize("nyuv2", tmp_path / "file" / "below", COUNTS, SIZE)


@pytest.mark.parametrize(
    ("counts", "size", "field"),
    [
        ({"train": 0}, SIZE, "train"),
        ({"val": -1}, SIZE, "val"),
        (COUNTS, (31, 64), "size"),
        (COUNTS, (64, 0), "size"),
        (COUNTS, (32, 10**5), "size"),
    ],
)
def test_counts_and_sizes_that_make_no_sense(tmp_path, counts, size, field):
    with pytest.raises(SpecError) as caught:
        synthesize("nyuv2", tmp_path, counts, size)
    assert (caught.value.file, caught.value.field) == ("nyuv2", field)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_layout(tmp_path):
    with pytest.raises(SpecError, match=r"unknown layout 'nyuv3'\. Did you mean 'nyuv2'"):
        synthesize("nyuv3", tmp_path, COUNTS)


def test_progress_counts_all_samples(tmp_path):
    shown = []
    line = ProgressLine(shown.append, enabled=True)
    line.INTERVAL = 0
    synthesize("cityscapes_7", tmp_path, COUNTS, SIZE, progress=line)
    assert any("3/3 samples of cityscapes_7" in text for text in shown)


def test_every_layout_has_a_writer_and_all_but_raw_forms_a_reader():
    for key in WRITERS:
        assert (key in RAW) != (key in DATASETS)
        assert issubclass(WRITERS[key], Writer)
        assert min(WRITERS[key].native) >= 32
    for key in set(WRITERS) - set(RAW):
        assert description_file(key) is not None
