"""The marker of synthetic copies, and what it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlrepro.data.disk.marker import NAME, Marker, read_marker, write_marker
from mtlrepro.errors import DataError

MARKER = Marker("nyuv2", {"train": 40, "val": 10}, (96, 128), 3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_marker(tmp_path) is None
    write_marker(tmp_path, MARKER)
    assert read_marker(tmp_path) == MARKER


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 9}', '{"schema": 1, "dataset": "nyuv2", "size": [3]}'])
def test_a_damaged_marker_is_not_taken_for_none(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match="the marker of a synthetic copy is damaged") as caught:
        read_marker(tmp_path)
    assert caught.value.file == tmp_path / NAME
