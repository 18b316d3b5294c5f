"""What is written replaces regular files alone: links stay, devices and pipes are written into."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mtlrepro.errors import StoreError
from mtlrepro.files import fenced, replace_file, write_bytes
from mtlrepro.report.writer import write_atomic

WRITE = pytest.mark.parametrize("write", [write_bytes, write_atomic])
Write = Callable[[Path, bytes], None]


@WRITE
def test_a_link_stays_and_its_target_is_replaced(write: Write, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    target, link = tmp_path / "inner/real.json", tmp_path / "link.json"
    link.symlink_to("inner/real.json")
    for content in (b"first", b"second"):  # at first the link leads nowhere
        write(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["inner", "link.json"]
    assert os.listdir(tmp_path / "inner") == ["real.json"]


@WRITE
def test_a_pipe_is_written_into(write: Write, tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, b"x" * 100_000)
    reader.join(10)
    assert got == [b"x" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@WRITE
def test_a_device_that_is_full(write: Write, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("/dev/full")  # a wrong write would replace this link, not the device
    with pytest.raises(StoreError, match="No space left on device") as caught:
        write(link, b"{}")
    assert caught.value.file == link
    assert stat.S_ISCHR(link.stat().st_mode)
    assert os.listdir(tmp_path) == ["link.json"]


@WRITE
def test_a_folder_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Is a directory"):
        write(tmp_path, b"{}")
    assert not os.listdir(tmp_path)


def test_standard_output_is_a_pipe_here() -> None:
    code = "from pathlib import Path; from mtlrepro.files import write_json; write_json(Path('/dev/stdout'), [1])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[\n 1\n]"


# --- fences -----------------------------------------------------------------------------------------------------------


def refuse() -> None:
    raise StoreError("somebody else's")


def test_a_fence_is_asked_before_anything_below_its_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run" / "pictures").mkdir(parents=True)
    asked: list[int] = []
    with fenced(tmp_path / "run", lambda: asked.append(1)):
        write_bytes(tmp_path / "run" / "result.json", b"1")
        write_bytes(tmp_path / "run" / "pictures" / "a.png", b"1")
        assert len(asked) == 2
        write_bytes(tmp_path / "beside.json", b"1")
        write_bytes(tmp_path / "run2", b"1")
        assert len(asked) == 2
    write_bytes(tmp_path / "run" / "result.json", b"2")
    assert len(asked) == 2


def test_a_fence_holds_by_whichever_path_a_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    with fenced(Path("run"), refuse), pytest.raises(StoreError, match="somebody else's"):
        write_bytes(tmp_path / "run" / "result.json", b"1")
    with fenced(tmp_path / "run", refuse), pytest.raises(StoreError, match="somebody else's"):
        write_bytes(Path("run/result.json"), b"1")


def test_what_a_fence_refuses_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_bytes(file, b"old")
    with fenced(tmp_path, refuse), pytest.raises(StoreError, match="somebody else's"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]
    write_bytes(file, b"new")  # the fence went with its error


def test_a_file_that_may_be_lost_with_the_power_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    replace_file(tmp_path / "progress.json", b"1", durable=False)
    assert (waited, (tmp_path / "progress.json").read_bytes()) == ([], b"1")
    replace_file(tmp_path / "result.json", b"1")
    assert len(waited) == 1
