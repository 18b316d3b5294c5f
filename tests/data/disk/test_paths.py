"""Paths that lead out of their folder, and links that lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.data.disk.paths import broken_link, lies_below


@given(st.lists(st.sampled_from(["a", "..", ".", "", "...", "..a", "a..", "\\", "/", "\n"]), max_size=6))
def test_what_lies_below_stays_below(parts: list[str]) -> None:
    path = "/".join(parts)
    inside = not path.startswith("/") and ".." not in path.split("/") and "\\" not in path and "\n" not in path
    assert lies_below(path) == inside
    if inside:
        assert os.path.normpath(f"/data/root/{path}").startswith("/data/root")


@pytest.mark.parametrize("path", ["0001", "night/0", "a b/ü", "..."])
def test_plain_names(path: str) -> None:
    assert lies_below(path)


def test_links_that_can_be_followed_are_not_broken(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "link", tmp_path / "gone"):
        assert broken_link(path) == ""
    (tmp_path / "far").symlink_to("gone")
    assert broken_link(tmp_path / "far").startswith(f"{tmp_path / 'far'} is a link that leads nowhere")
