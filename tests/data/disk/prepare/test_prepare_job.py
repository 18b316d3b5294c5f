"""The frame of preparations: complete or absent, resumable at any moment with the same bits, nothing outside."""

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from raw_sources import contents

from mtlrepro.data.disk.marker import Marker, read_marker
from mtlrepro.data.disk.prepare import job as job_module
from mtlrepro.data.disk.prepare.job import Job, build
from mtlrepro.data.disk.prepare.record import NAME, check_rows, fingerprint, read_record
from mtlrepro.errors import DataError, StoreError


class Toy(Job):
    """Four items of two files, and a list at the end."""

    def __init__(self, source="a", item_bytes=20, marker=None):
        self.source, self.item_bytes, self.marker = {"file": {"bytes": 3, "of": source}}, item_bytes, marker
        self.items = {str(i): (f"x/{i}.bin", f"y/deep/{i}.bin") for i in range(4)}
        self.made = []

    def make(self, item):
        self.made.append(item)
        return {file: f"{file} of {self.source}".encode() * 100 for file in self.items[item]}

    def finish(self, folder):
        assert all((folder / file).is_file() for files in self.items.values() for file in files)
        return {"list.txt": "".join(f"{item}\n" for item in self.items).encode()}


@pytest.fixture
def target(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root" / "SET"


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "whole").mkdir()
    return contents(build("toy", Toy(), tmp_path / "whole" / "SET"))


def refused(call, *words, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.file is not None
    assert caught.value.mend
    assert all(word in text for word in words), text
    return caught.value


def test_complete_folder_with_progress_and_record(target):
    seen = []
    assert build("toy", Toy(), target, lambda done, total: seen.append((done, total))) == target
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert os.listdir(target.parent) == ["SET"]
    assert sorted(contents(target)) == sorted(
        [NAME, "list.txt", *(f"{d}/{i}.bin" for d in ("x", "y/deep") for i in range(4))]
    )
    record = read_record(target)
    assert (record["dataset"], record["source"]) == ("toy", Toy().source)
    assert set(record["versions"]) == {"mtlrepro", "numpy", "pillow", "torch"}


def interrupt_after(monkeypatch, writes):
    left = [writes]

    def write(path, content):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(path, content)

    real = job_module.write_bytes
    monkeypatch.setattr(job_module, "write_bytes", write)


@pytest.mark.parametrize("writes", range(9))
def test_interrupted_after_any_file_it_goes_on_with_the_same_bits(target, whole, monkeypatch, writes):
    with monkeypatch.context() as patch:
        interrupt_after(patch, writes)
        with pytest.raises(KeyboardInterrupt):
            build("toy", Toy(), target)
    assert not target.exists()
    again, seen = Toy(), []
    build("toy", again, target, lambda done, total: seen.append(done))
    assert again.made == [str(i) for i in range(writes // 2, 4)]  # what was complete is not made again
    assert seen == list(range(writes // 2 + 1, 5))
    assert contents(target) == whole
    assert os.listdir(target.parent) == ["SET"]


@pytest.mark.parametrize("killed", range(11))
def test_killed_before_any_rename(target, whole, killed):
    """SIGKILL, which nothing can catch: between writing a file and giving it its name, the whole folder's included."""
    child = os.fork()
    if not child:
        left, replace, rename = [killed], os.replace, Path.rename

        def die_or(call):
            def renamed(*arguments):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return call(*arguments)

            return renamed

        os.replace, Path.rename = die_or(replace), die_or(rename)
        build("toy", Toy(), target)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert not target.exists()
    build("toy", Toy(), target)
    assert contents(target) == whole


def test_empty_file_is_made_again(target, whole):
    """As a file system may leave it when power is lost."""
    build("toy", Toy(), target)
    partial = target.rename(target.with_name("SET.partial"))
    (partial / "x/2.bin").write_bytes(b"")
    again = Toy()
    build("toy", again, target)
    assert again.made == ["2"]
    assert contents(target) == whole


def test_marker_of_a_synthetic_source_is_passed_on(target):
    marker = Marker("toy", {"train": 4}, (3, 4), 5)
    assert read_marker(build("toy", Toy(marker=marker), target)) == marker


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_existing_dataset_is_never_overwritten(target, kind):
    make = {"folder": target.mkdir, "file": target.touch, "link": lambda: target.symlink_to("nowhere")}
    make[kind]()
    refused(lambda: build("toy", Toy(), target), "there already", str(target))
    assert os.listdir(target.parent) == ["SET"]


def test_partial_folder_of_something_else_is_left_alone(target):
    partial = target.with_name("SET.partial")
    partial.mkdir()
    (partial / "mine.txt").write_text("mine")
    refused(lambda: build("toy", Toy(), target), "in the way")
    assert contents(partial) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("field", ["source", "dataset", "versions"])
def test_partial_folder_from_another_source_is_not_continued(target, monkeypatch, field):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            build("toy", Toy(), target)
    record = target.with_name("SET.partial") / NAME
    value = json.loads(record.read_text())
    value[field] = "other"
    record.write_text(json.dumps(value))
    error = refused(lambda: build("toy", Toy(), target), "SET.partial")
    assert error.field == field
    refused(lambda: build("toy", Toy("b"), target))


def test_damaged_record(target, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            build("toy", Toy(), target)
    (target.with_name("SET.partial") / NAME).write_text('{"schema": 1, "data')
    refused(lambda: build("toy", Toy(), target), NAME, "damaged")


def test_links_are_not_written_through(target, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    partial = target.with_name("SET.partial")
    partial.symlink_to(outside)
    refused(lambda: build("toy", Toy(), target), "link")
    partial.unlink()
    partial.mkdir()
    (partial / "x").symlink_to(outside)
    refused(lambda: build("toy", Toy(), target), "link")
    assert not any(outside.iterdir())


def test_one_process_at_a_time(target):
    partial = target.with_name("SET.partial")
    partial.mkdir()
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused(lambda: build("toy", Toy(), target), "another process")
    finally:
        os.close(descriptor)
    build("toy", Toy(), target)


@pytest.mark.parametrize("after", ["renamed", "renamed and begun anew"])
def test_a_folder_that_another_process_finished_just_before_the_lock(target, monkeypatch, after):
    partial, lock = target.with_name("SET.partial"), fcntl.flock

    def late(*arguments):
        build_of_another.pop().rename(target)
        if after != "renamed":
            partial.mkdir()
        lock(*arguments)

    build_of_another = [partial]
    monkeypatch.setattr(fcntl, "flock", late)
    refused(lambda: build("toy", Toy(), target), "another process has just finished", "SET.partial")
    assert contents(target) == {}


def test_space_is_checked_before_anything_is_made(target, whole, monkeypatch):
    usage = shutil.disk_usage(target.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=8 * 10**9))
    job = Toy(item_bytes=3 * 10**9)
    error = refused(lambda: build("toy", job, target), "12.6 GB are needed, 8.0 GB are free")
    assert error.field == "disk space"
    assert job.made == []
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)  # half of it
        with pytest.raises(KeyboardInterrupt):
            build("toy", Toy(), target)
    build("toy", Toy(item_bytes=3 * 10**9), target)  # what is still missing fits
    assert contents(target) == whole


def test_full_disk_names_the_file(target, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(lambda: build("toy", Toy(), target), "No space left", kind=StoreError)
    assert not [path for path in target.parent.rglob("*") if path.is_file()]


def test_missing_data_root(tmp_path):
    refused(lambda: build("toy", Toy(), tmp_path / "none" / "SET"), "no such folder", str(tmp_path / "none"))


def test_published_masks_do_not_fit(target):
    mask = target / "labels" / "onelabel.pth"
    check_rows(target.parent, mask)  # a release: no record
    build("toy", Toy(), target)
    refused(lambda: check_rows(target, mask), "onelabel.pth", "order")


def test_fingerprint_knows_both_ends_and_the_size(tmp_path):
    file = tmp_path / "raw"
    prints = set()
    for content in (b"", b"abc", b"a" * (3 << 20), b"a" * (3 << 20) + b"b", b"b" + b"a" * (3 << 20)):
        file.write_bytes(content)
        prints.add(json.dumps(fingerprint(file)))
    assert len(prints) == 5
    os.utime(file, (1, 1))
    assert json.dumps(fingerprint(file)) in prints
    refused(lambda: fingerprint(tmp_path / "none"), "none")
