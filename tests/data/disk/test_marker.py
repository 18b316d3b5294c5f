"""The marker of synthetic copies, and what it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mtlrepro.data.disk.marker import NAME, Marker, marker_of, read_marker, write_marker
from mtlrepro.errors import DataError

MARKER = Marker("nyuv2", {"train": 40, "val": 10}, (96, 128), 3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_marker(tmp_path) is None
    write_marker(tmp_path, MARKER)
    assert read_marker(tmp_path) == MARKER


def _with_counts(counts: str) -> str:
    return f'{{"schema": 1, "dataset": "nyuv2", "size": [96, 128], "seed": 0, "counts": {counts}}}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"schema": 9}', '{"schema": 1, "dataset": "nyuv2", "size": [3]}'),
        *map(_with_counts, ("{}", '{"train": 0}', '{"train": 4, "val": -1}', '{"test": 4}')),
    ],
)
def test_a_damaged_marker_is_not_taken_for_none(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match="the marker of a synthetic copy is damaged") as caught:
        read_marker(tmp_path)
    assert caught.value.file == tmp_path / NAME


def test_no_permission_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    write_marker(tmp_path, MARKER)
    monkeypatch.setattr(type(tmp_path), "read_text", refuse)  # whoever runs the tests may be allowed everything
    for enters, file in ((True, tmp_path / NAME), (False, tmp_path)):
        monkeypatch.setattr("os.access", lambda path, mode, enters=enters: enters)
        with pytest.raises(DataError, match="Permission denied") as caught:
            read_marker(tmp_path)
        assert caught.value.file == file
        assert "chmod" in caught.value.mend


def test_a_marker_is_of_the_dataset_or_of_one_in_the_same_folder(tmp_path: Path) -> None:
    root, streets, own = tmp_path / "NYUD_MT", tmp_path / "cityscapes", tmp_path / "own"
    for folder in (root, streets, own):
        folder.mkdir()
    assert marker_of(root, "nyuv2") is None
    write_marker(root, MARKER)
    assert marker_of(root, "nyuv2") == MARKER
    assert marker_of(root, "described anew") == MARKER
    sequence = replace(MARKER, dataset="cityscapes_sequence")
    write_marker(streets, sequence)
    assert marker_of(streets, "cityscapes") == sequence
    for folder, dataset in ((root, "taskonomy"), (root, "scenes"), (root, "../x.toml"), (own, "nyuv2")):
        write_marker(folder, replace(MARKER, dataset=dataset))
        with pytest.raises(DataError, match=f"marks a synthetic copy of {dataset!r}, which is not 'mine'") as caught:
            marker_of(folder, "mine")
        assert (caught.value.file, caught.value.field) == (folder / NAME, "dataset")
        assert "data synthesize" in caught.value.mend
