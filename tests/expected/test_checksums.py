"""`checksums.json`: an edit of what is printed, or of what it means, is noticed by its table's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mtlrepro.cli import main
from mtlrepro.errors import StoreError
from mtlrepro.expected.checksums import changed, checksums, write_checksums
from mtlrepro.expected.load import table_files

EXPECTED = Path(__file__).resolve().parents[2] / "expected"
PAPER, TABLE = "mt_cp", "1"
OTHERS = ("mt_cp/2", "mt_cp/3", "mt_cp/4")


def copy(folder: Path, old: str = "", new: str = "") -> Path:
    """A copy of one paper and the vocabulary, with every `old` of its Table 1 changed."""
    root = folder / "expected"
    shutil.copytree(EXPECTED / PAPER, root / PAPER)
    shutil.copytree(EXPECTED / "aware3d", root / "aware3d")  # printed again there
    shutil.copy(EXPECTED / "protocols.toml", root)
    path = root / PAPER / f"table_{TABLE}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text, "the shipped table has changed: choose another edit for this test"
    path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return checksums(copy(tmp_path_factory.mktemp("before")))


FIRST = next(
    line
    for line in (EXPECTED / PAPER / f"table_{TABLE}.toml").read_text(encoding="utf-8").splitlines()
    if "cells" in line
)
CELL = FIRST.partition('"')[2].partition('"')[0]
EDITS = {
    "digit": (f'"{CELL}"', f'"{CELL[:-1]}{(int(CELL[-1]) + 1) % 10}"'),
    "precision": (f'"{CELL}"', f'"{CELL}0"'),
    "sign": (f'"{CELL}"', f'"+ {CELL}"'),
    "lost": (f'"{CELL}"', '"-"'),
    "unit": ('unit = "deg"', 'unit = "%"'),
    "protocol": ('protocol = "depth/cap655@1"', 'protocol = "depth/pooled@1"'),
    "row name": ("Cross-Stitch [27]", "Cross-Stitch [28]"),
}
KEEP = {
    "comment": ("schema_version", "# a comment\nschema_version"),
    "caption": ('caption = "', 'caption = "The '),
    "source": ('source = "', 'source = "The '),
    "title": ('title = "', 'title = "The '),
}


def edit(case: str) -> tuple[str, str]:
    return {**EDITS, **KEEP}[case]


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_of_what_is_printed_changes_its_table_alone(tmp_path: Path, before: dict[str, str], case: str) -> None:
    after = checksums(copy(tmp_path, *edit(case)))
    assert after.keys() == before.keys()
    assert {k for k in after if after[k] != before[k]} == {f"{PAPER}/{TABLE}"}


@pytest.mark.parametrize("case", KEEP)
def test_an_edit_of_words_around_it_changes_nothing(tmp_path: Path, before: dict[str, str], case: str) -> None:
    assert checksums(copy(tmp_path, *edit(case))) == before


def test_the_command_names_the_table_and_exits_1(
    tmp_path: Path, before: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy(tmp_path, *EDITS["digit"])
    (root / "checksums.json").write_text(json.dumps(before))
    assert changed(root) == [f"{PAPER}/{TABLE}"]
    command = ["expected", "checksums", "--expected", str(root)]
    assert main([*command, "--check"]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"{PAPER}/{TABLE}: ")
    assert out.count("\n") == 1
    assert str(root / "checksums.json") in out
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(root / "checksums.json")
    assert main([*command, "--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_table_on_one_side_only_is_named(tmp_path: Path, before: dict[str, str]) -> None:
    root = copy(tmp_path)
    stored = {**before, f"{PAPER}/9": "0"}
    del stored[OTHERS[0]]
    (root / "checksums.json").write_text(json.dumps(stored))
    assert changed(root) == [OTHERS[0], f"{PAPER}/9"]


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    root = copy(tmp_path)
    for text in (None, "[]", "{"):
        if text is not None:
            (root / "checksums.json").write_text(text)
        with pytest.raises(StoreError, match="mtlrepro expected checksums") as caught:
            changed(root)
        assert caught.value.file == root / "checksums.json"


def test_what_is_written_is_what_is_read(tmp_path: Path, before: dict[str, str]) -> None:
    root = copy(tmp_path)
    assert json.loads(write_checksums(root).read_text()) == before
    assert changed(root) == []


def test_the_shipped_checksums_are_up_to_date() -> None:
    assert len(checksums(EXPECTED)) == len(table_files(EXPECTED))
    tables = changed(EXPECTED)
    again = "compare the tables with the papers, then run `mtlrepro expected checksums`"
    assert not tables, f"printed strings changed in {', '.join(tables)}: {again}"


def test_no_two_tables_have_the_same_digest() -> None:
    digests = list(checksums(EXPECTED).values())
    assert len(set(digests)) == len(digests)
