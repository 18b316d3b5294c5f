"""The folder `expected/`: which files are tables, and what does not belong there."""

from __future__ import annotations

from pathlib import Path

import pytest
from expected_files import write_text

from mtlrepro.errors import SpecError
from mtlrepro.expected.load import load_all, natural, table_file, table_files

GOOD = """
schema_version = 2
paper = "p"
table = "1"
dataset = "nyuv2"
caption = "c"
source = "s"
selection = "last"
runs = 1

[[columns]]
key = "seg"
title = "Seg"
metric = "semseg.miou"
protocol = "miou/dataset@1"
unit = "%"
better = "higher"

[[rows]]
name = "Ours"
cells = { seg = "40.0" }
"""


def test_tables_are_found_in_natural_order(tmp_path: Path) -> None:
    for table in ("10", "S1", "2b", "2a", "A2"):
        write_text(tmp_path, GOOD.replace('table = "1"', f'table = "{table}"', 1), table=table)
    write_text(tmp_path, GOOD.replace('paper = "p"', 'paper = "a"'), "a")
    for name in ("findings.toml", "audit.toml"):
        (tmp_path / "p" / name).write_text("")
    (tmp_path / "measured" / "machine").mkdir(parents=True)
    (tmp_path / "checksums.json").write_text("{}")
    order = [("a", "1"), ("p", "2a"), ("p", "2b"), ("p", "10"), ("p", "A2"), ("p", "S1")]
    assert table_files(tmp_path) == [table_file(tmp_path, *at) for at in order]
    assert [t.table for t in load_all(tmp_path)] == [table for _, table in order]


@pytest.mark.parametrize(
    "name",
    [
        "tabel_2.toml",
        "table_2.tml",
        "table_2.toml~",
        "table_2 .toml",
        "table_.toml",
        "Table_2.toml",
        "finding.toml",
        "x/",
    ],
)
def test_a_file_that_does_not_belong_in_a_paper_s_folder_is_told(name: str, tmp_path: Path) -> None:
    path = write_text(tmp_path, GOOD).with_name(name.rstrip("/"))
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_text(GOOD)
    with pytest.raises(SpecError, match="does not belong here") as caught:
        table_files(tmp_path)
    assert caught.value.file == path
    assert "table_<id>.toml, findings.toml and audit.toml alone" in caught.value.mend


def test_a_folder_named_as_a_table_is_told(tmp_path: Path) -> None:
    path = write_text(tmp_path, GOOD).with_name("table_2.toml")
    path.mkdir()
    with pytest.raises(SpecError, match="does not belong here") as caught:
        table_files(tmp_path)
    assert caught.value.file == path


def test_natural_order_counts() -> None:
    assert sorted(["S10", "11", "S2", "2", "10b", "10a"], key=natural) == ["2", "10a", "10b", "11", "S2", "S10"]


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_tables_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no tables") as caught:
        table_files(tmp_path / name)
    assert caught.value.file == tmp_path / name
    assert "--expected" in caught.value.mend
