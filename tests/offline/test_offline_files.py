"""Pairs by name, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offline_maps import Caller, fill

from mtlrepro.errors import DataError, StoreError
from mtlrepro.files import write_bytes, write_json
from mtlrepro.offline.files import _pattern, find, find_pairs

MAP = np.zeros((3, 4), np.uint8)
MASK = (np.random.default_rng(0).random((40, 56)) < 0.3).astype(np.uint8)


def touch(base: Path, *names: str) -> Path:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    return base


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    names = ("b.png", "a.NPY", "deep/er/c.mat", "2.5.png", "with space.png", "ü.png")
    others = ("notes.txt", ".hidden.png", "noext", "png", "x.png.bak", "deep/list.json")
    base = touch(tmp_path, *names, *others)
    assert find(str(base)) == {n.rpartition(".")[0]: base / n for n in names}


def test_folders_that_look_like_maps_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png/c.png")
    assert set(find(str(tmp_path))) == {"a", "b.png/c"}


def test_links_are_followed(tmp_path: Path) -> None:
    real = touch(tmp_path / "real", "a.png")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "b.png").symlink_to(real / "a.png")
    assert set(find(str(tmp_path / "links"))) == {"b"}


def test_hidden_files_in_sub_folders_are_no_maps(tmp_path: Path) -> None:
    """`._x.png` is what some systems leave beside every x.png on a shared disk."""
    assert set(find(str(touch(tmp_path, "s/a.png", "s/._a.png")))) == {"s/a"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{id}.png", {"x_edge", "x_depth", "s/y_edge", "s.t/z+(1)_edge"}),
        ("{id}_edge.png", {"x", "s/y", "s.t/z+(1)"}),
        ("s/{id}_edge.png", {"y"}),
        ("s/{id}.png", {"y_edge"}),
        ("{id}/y_edge.png", {"s"}),
        ("s.t/z+({id})_edge.png", {"1"}),
        ("x_{id}.png", {"edge", "depth"}),
        ("{id}.npy", {"x_edge"}),
    ],
)
def test_patterns(pattern: str, names: set[str], tmp_path: Path) -> None:
    base = touch(tmp_path, "x_edge.png", "x_depth.png", "x_edge.npy", "s/y_edge.png", "s.t/z+(1)_edge.png")
    found = find(f"{base}/{pattern}")
    assert set(found) == names
    for name, file in found.items():
        assert file == base / pattern.replace("{id}", name)


def test_patterns_of_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a_1.png", "sub/b_1.png")
    monkeypatch.chdir(tmp_path)
    assert set(find("{id}_1.png")) == {"a", "sub/b"}
    assert set(find("sub/{id}_1.png")) == set(find("./sub/{id}_1.png")) == {"b"}
    assert set(find("sub")) == {"b_1"}


@given(
    st.text("ab.+()[]*?^$ -_", min_size=1, max_size=8),
    st.text("ab.+()[]*?^$\\ -_", max_size=5),
    st.text("ab.+()[]*?^$\\ -_", max_size=5),
)
def test_any_text_around_the_id_is_literal(name: str, before: str, after: str) -> None:
    base, pattern = _pattern(f"/folder/{before}{{id}}{after}")
    assert base == Path("/folder")
    match = pattern.fullmatch(f"{before}{name}{after}")
    assert match is not None
    assert match["id"] == name
    assert not before or pattern.fullmatch(f"!{before}{name}{after}") is None
    assert not after or pattern.fullmatch(f"{before}{name}{after}!") is None


def test_two_files_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "s/a.png", "s/a.npy")
    with pytest.raises(DataError, match=r"a\.npy and a\.png are both 's/a'") as caught:
        find(str(tmp_path))
    assert caught.value.file == tmp_path / "s"
    assert set(find(f"{tmp_path}/{{id}}.npy")) == {"s/a"}


def test_pairs_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"p/{n}.npy" for n in ("c", "a/x", "a-x", "b10", "b9")),
        *(f"g/{n}.png" for n in ("b9", "b10", "c", "a-x", "a/x")),
    )
    pairs = find_pairs(str(tmp_path / "p"), str(tmp_path / "g"))
    assert [p.name for p in pairs] == ["a-x", "a/x", "b10", "b9", "c"]
    assert all(p.prediction == tmp_path / "p" / f"{p.name}.npy" for p in pairs)
    assert all(p.truth == tmp_path / "g" / f"{p.name}.png" for p in pairs)


def test_pairs_of_a_list_are_in_its_order_and_once(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{side}/{n}.png" for n in ("a", "b", "s/c", "d") for side in "pg"))
    ids = tmp_path / "ids.txt"
    ids.write_text("s/c\n\n  a \r\ns/c\nb\n")
    pairs = find_pairs(str(tmp_path / "p"), str(tmp_path / "g"), ids)
    assert [p.name for p in pairs] == ["s/c", "a", "b"]


def test_a_list_with_a_byte_order_mark(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.png", "g/a.png")
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfa\n")
    assert len(find_pairs(str(tmp_path / "p"), str(tmp_path / "g"), tmp_path / "ids.txt")) == 1


def test_lists_and_patterns_through_the_command(call: Caller, tmp_path: Path) -> None:
    soft = {n: (MASK * (90 + 40 * k) + k).astype(np.uint8) for k, n in enumerate("abc")}
    for name in "abc":
        fill(tmp_path / "p" / name, {"edge": soft[name], "depth": MASK})
        fill(tmp_path / "g", {f"{name}_edge": np.roll(MASK, ord(name), 1)})
    (tmp_path / "ids.txt").write_text("c\na\n")
    places = [tmp_path / "p" / "{id}" / "edge.png", tmp_path / "g" / "{id}_edge.png"]
    chosen = ["--protocol", "edges/pixels@1"]
    done = call("edges", *places, *chosen, "--ids", tmp_path / "ids.txt")
    assert set(done.json()["per_image"]) == {"a", "c"}
    assert done.json()["images"] == 2
    for name in "ac":
        fill(tmp_path / "p2", {name: soft[name]})
        fill(tmp_path / "g2", {name: np.roll(MASK, ord(name), 1)})
    assert call("edges", tmp_path / "p2", tmp_path / "g2", *chosen).figures() == done.figures()
    assert call("edges", *places, *chosen).figures() != done.figures()


# Writing.


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "new" / "deep" / "f.bin"
    write_bytes(file, b"\x00\xff\r\n")
    assert file.read_bytes() == b"\x00\xff\r\n"
    write_bytes(file, b"")
    assert file.read_bytes() == b""
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
        (OSError(errno.EROFS, "Read-only file system"), StoreError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
    ],
)
def test_a_failure_in_the_middle_leaves_the_old_file(
    step: str, failure: BaseException, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.bin"
    write_bytes(file, b"old")

    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(raised) as caught:
        write_bytes(file, b"new and longer")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
    if isinstance(caught.value, StoreError):
        assert caught.value.file == file
        assert ("disk space" in str(caught.value)) == (failure.errno == errno.ENOSPC)  # type: ignore[attr-defined]


def test_nothing_is_visible_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, seen = tmp_path / "f.bin", []
    real = os.replace

    def watch(source: Path, target: Path) -> None:
        seen.append((Path(source).read_bytes(), file.exists(), Path(target), Path(source).parent))
        real(source, target)

    monkeypatch.setattr(os, "replace", watch)
    write_bytes(file, b"whole")
    assert seen == [(b"whole", False, file, tmp_path)]


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert file.read_text() == '{\n "a": 1\n}'
