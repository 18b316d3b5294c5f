"""The content digest: follows contents, not places and times, and its cache is safe."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mtlrepro.data.disk import digest as digest_module
from mtlrepro.data.disk.digest import digest_files
from mtlrepro.data.disk.folder import Folder
from mtlrepro.errors import DataError


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name * 3)
    return folder


def hashed(monkeypatch):
    """The list of files whose contents are read from now on."""
    seen, original = [], digest_module.hashlib.file_digest

    def spy(stream, kind):
        seen.append(Path(stream.name).name)
        return original(stream, kind)

    monkeypatch.setattr(digest_module.hashlib, "file_digest", spy)
    return seen


def test_contents_names_order_and_extra_count(root):
    digest = digest_files(root, "abc")
    assert len(digest) == 64
    assert digest == digest_files(root, "abc")
    assert len({digest, digest_files(root, "ab"), digest_files(root, "acb"), digest_files(root, "abc", "x")}) == 4
    (root / "b").write_text("bxb")
    assert digest_files(root, "abc") != digest


def test_swapped_contents_are_another_digest(root):
    digest = digest_files(root, "ab")
    (root / "a").write_text("bbb")
    (root / "b").write_text("aaa")
    assert digest_files(root, "ab") != digest


def test_a_renamed_file_is_another_digest(root):
    digest = digest_files(root, "a")
    (root / "a").rename(root / "d")
    assert digest_files(root, "d") != digest


def test_times_and_places_do_not_count(root, tmp_path):
    digest = digest_files(root, "abc")
    os.utime(root / "a", (1, 1))
    assert digest_files(root, "abc") == digest
    assert digest_files(shutil.copytree(root, tmp_path / "moved"), "abc") == digest


def test_the_cache_reads_each_file_once(root, tmp_path, monkeypatch):
    cache, seen = tmp_path / "cache" / "deep", hashed(monkeypatch)
    digest = digest_files(root, "abc", cache=cache)
    assert seen == ["a", "b", "c"]
    assert digest_files(root, "abc", cache=cache) == digest == digest_files(root, "abc", cache=cache)
    assert seen == ["a", "b", "c"]
    os.utime(root / "b", (1, 1))
    assert digest_files(root, "abc", cache=cache) == digest
    assert seen == ["a", "b", "c", "b"]
    (root / "c").write_text("longer than before")
    assert digest_files(root, "abc", cache=cache) == digest_files(root, "abc") != digest
    assert [file.suffix for file in cache.iterdir()] == [".json"]


def test_the_cache_keeps_what_other_splits_remembered(root, tmp_path, monkeypatch):
    cache, seen = tmp_path / "cache", hashed(monkeypatch)
    for names in ("ab", "c", "abc"):
        digest_files(root, names, cache=cache)
    assert seen == ["a", "b", "c"]


def test_two_roots_share_a_cache_folder(root, tmp_path):
    other = shutil.copytree(root, tmp_path / "other")
    os.utime(other / "a", ns=(0, (root / "a").stat().st_mtime_ns))
    (other / "a").write_text("xyz")
    os.utime(other / "a", ns=(0, (root / "a").stat().st_mtime_ns))
    cache = tmp_path / "cache"
    assert digest_files(root, "a", cache=cache) != digest_files(other, "a", cache=cache)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 1, "files": {"a": 3}}', '{"schema": 9, "files": {}}']
)
def test_a_broken_cache_costs_time_only(root, tmp_path, text):
    cache = tmp_path / "cache"
    digest = digest_files(root, "abc", cache=cache)
    (store,) = cache.iterdir()
    store.write_text(text)
    assert digest_files(root, "abc", cache=cache) == digest
    assert set(json.loads(store.read_text())["files"]) == set("abc")


def test_a_cache_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert digest_files(root, "abc", cache=tmp_path / "file") == digest_files(root, "abc")


def test_a_failed_write_keeps_the_old_cache_and_leaves_nothing(root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    digest_files(root, "ab", cache=cache)
    (store,) = cache.iterdir()
    before = store.read_text()

    def full(value, stream):
        stream.write("half of")
        raise OSError("disk full")

    monkeypatch.setattr(digest_module.json, "dump", full)
    assert digest_files(root, "abc", cache=cache) == digest_files(root, "abc")
    assert list(cache.iterdir()) == [store]
    assert store.read_text() == before


def test_a_missing_file(root):
    with pytest.raises(DataError, match=r"d: cannot be read \(No such file .*Restore it"):
        digest_files(root, "abd")


def test_the_digest_of_a_dataset(tiny_dataset, tmp_path):
    moved = shutil.copytree(tiny_dataset.parent, tmp_path / "moved") / tiny_dataset.name
    digest = Folder(tiny_dataset, "train").digest()
    assert Folder(moved, "train", cache=tmp_path / "cache").digest() == digest
    assert Folder(tiny_dataset, "train", length=7).digest() != digest
    assert Folder(tiny_dataset, "val").digest() != digest
    label = moved.parent / "semseg/train/7.png"
    shutil.copy(moved.parent / "semseg/train/6.png", label)
    assert Folder(moved, "train").digest() != digest
    assert Folder(moved, "train", length=7).digest() == Folder(tiny_dataset, "train", length=7).digest()
    moved.write_text(moved.read_text().replace("ignore = [9]", "ignore = [9, 8]"))
    assert Folder(moved, "train", length=7).digest() != Folder(tiny_dataset, "train", length=7).digest()
