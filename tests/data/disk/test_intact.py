"""Files that are empty, cut short or not what their name says are told from whole ones without decoding them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mtlrepro.data.disk.arrays import read_channels, read_hdf5, read_mat, read_npy, read_pixels, read_start
from mtlrepro.data.disk.digest import digest_files
from mtlrepro.data.disk.intact import check_intact
from mtlrepro.data.disk.readers.cityscapes import read_camera
from mtlrepro.errors import DataError

ARRAY = np.arange(64 * 80, dtype=np.uint8).reshape(64, 80)


def _hdf5(file: Path) -> None:
    with h5py.File(file, "w") as stream:
        stream["depth"] = ARRAY.astype(np.float32)


WRITE = {
    "a.png": lambda file: Image.fromarray(ARRAY).save(file),
    "a.jpg": lambda file: Image.fromarray(ARRAY).save(file),
    "a.npy": lambda file: np.save(file, ARRAY),
    "a.mat": lambda file: savemat(file, {"LabelMap": ARRAY}),
    "a.h5": _hdf5,
    "a.json": lambda file: file.write_text(json.dumps({"extrinsic": {"baseline": 0.2}})),
}


@pytest.mark.parametrize("name", WRITE)
def test_whole_files_pass_and_cut_ones_are_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    WRITE[name](file)
    check_intact(file)
    whole = file.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-3], b"", b"\0" * len(whole), b"<html>404</html>"):
        if name in ("a.jpg", "a.png") and part == whole[:-3]:
            continue  # all of its pixels are there
        file.write_bytes(part)
        with pytest.raises(DataError) as caught:
            check_intact(file)
        assert caught.value.file == file
        assert caught.value.mend


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_images_with_bytes_behind_their_end_pass(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    WRITE[name](file)
    file.write_bytes(file.read_bytes() + b"trailer" * 2000)
    check_intact(file)


def test_other_files_only_need_to_hold_something(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("0001\n")
    check_intact(file)
    file.write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        check_intact(file)


def test_a_digest_names_a_cut_file_and_keeps_what_it_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i}.npy" for i in range(4)]
    for name in names:
        np.save(tmp_path / name, ARRAY)
    whole = (tmp_path / "2.npy").read_bytes()
    (tmp_path / "2.npy").write_bytes(whole[:-1])
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"2\.npy: \d+ bytes, its header promises \d+"):
        digest_files(tmp_path, names, cache=cache)
    (stored,) = cache.iterdir()
    assert set(json.loads(stored.read_text())["files"]) == {"0.npy", "1.npy"}
    (tmp_path / "2.npy").write_bytes(whole)
    assert digest_files(tmp_path, names, cache=cache) == digest_files(tmp_path, names)


def test_of_very_many_files_names_and_sizes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlrepro.data.disk.digest.CONTENTS_UP_TO", 2)
    names = [f"{i}.npy" for i in range(3)]
    for name in names:
        np.save(tmp_path / name, ARRAY)
    before = digest_files(tmp_path, names)
    np.save(tmp_path / "1.npy", ARRAY + 1)
    assert digest_files(tmp_path, names) == before
    np.save(tmp_path / "1.npy", ARRAY[:-1])
    assert digest_files(tmp_path, names) != before
    (tmp_path / "1.npy").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        digest_files(tmp_path, names)


@pytest.mark.parametrize("name", WRITE)
def test_no_permission_is_no_damage(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / name
    WRITE[name](file)
    for opener in ("open", "read_bytes"):  # whoever runs the tests may be allowed everything
        monkeypatch.setattr(type(file), opener, refuse)
    monkeypatch.setattr(h5py, "File", refuse)
    for look in (lambda: check_intact(file), lambda: digest_files(tmp_path, [name])):
        with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)") as caught:
            look()
        assert caught.value.file == file
        assert "chmod u+r" in caught.value.mend


def test_a_file_that_may_not_even_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "stat", refuse)
    with pytest.raises(DataError, match="Permission denied") as caught:
        digest_files(Path(tmp_path), ["a.npy"])
    assert "chmod u+rx" in caught.value.mend


@pytest.mark.parametrize(("form", "name"), [("JPEG", "a.png"), ("PNG", "a.jpg"), ("EPS", "a.png")])
def test_another_format_under_this_name(form: str, name: str, tmp_path: Path) -> None:
    Image.fromarray(ARRAY).save(tmp_path / name, form)
    with pytest.raises(DataError, match=r"not a (PNG|JPEG) file"):
        check_intact(tmp_path / name)


READ: dict[str, Callable[[Path], object]] = {
    "check_intact": check_intact,
    "digest_files": lambda file: digest_files(file.parent, [file.name]),
    "read_camera": read_camera,
    "read_channels": lambda file: read_channels(file, "semseg"),
    "read_hdf5": lambda file: read_hdf5(file, "depth", (2,), "(H, W)"),
    "read_mat": read_mat,
    "read_npy": lambda file: read_npy(file, "depth"),
    "read_pixels": read_pixels,
    "read_start": lambda file: read_start(file, 8),
}


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda file: os.symlink("/dev/zero", file)])
def test_pipes_folders_and_devices_are_never_opened(read: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    make(file)
    with pytest.raises(DataError, match="not a regular file") as caught:
        READ[read](file)
    assert caught.value.file == file
    assert caught.value.mend


def test_json_nested_too_deep(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("[" * 200_000)
    for read, problem in ((check_intact, "not JSON"), (read_camera, "cannot be read as JSON")):
        with pytest.raises(DataError, match=problem):
            read(file)
