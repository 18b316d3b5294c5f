"""Declared tables: found, selected, bound to what is printed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from suite_fakes import EXPECTED, SUITES

from mtlrepro.errors import SpecError
from mtlrepro.suite.table import Row, Table, bind, discover, load_suite_file, select

FILE = SUITES / "mti_net" / "test_nyuv2_table_2a.py"


@pytest.fixture(scope="module")
def tables() -> list[tuple[Path, Table]]:
    return list(discover(SUITES))


def test_every_table_is_found_and_binds(tables: list[tuple[Path, Table]]) -> None:
    bound = select(tables, [])
    keys = {b.table.key for b in bound}
    assert {f"mti_net/nyuv2/{t}" for t in ("2a", "3", "4", "7a", "S2a", "S2b")} <= keys
    assert len(keys) == len(tables)
    for b in bound:
        assert [r.name for r in b.table.rows] == [r.name for r in b.expected.rows]


def test_file_names_carry_dataset_and_table(tables: list[tuple[Path, Table]]) -> None:
    for file, table in tables:
        assert file.stem == f"test_{table.dataset}_table_{table.id.lower()}"
        assert file.parent.name == table.paper


def test_the_printed_baseline_may_be_in_another_table() -> None:
    bound = bind(load_suite_file(SUITES / "mti_net" / "test_nyuv2_table_7a.py"), SUITES / "mti_net" / "x.py")
    assert bound.printed_baseline == {"semseg.miou": pytest.approx(0.3318), "depth.rmse": pytest.approx(0.667)}


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        (["mti_net/2a"], ["2a"]),
        (["MTI_NET/S2A"], ["S2a"]),
        (["2a", "mti_net/nyuv2/2a", "7a"], ["2a", "7a"]),
        (["*"], ["2a", "3", "4", "7a", "S2a", "S2b"]),
    ],
)
def test_patterns(patterns: list[str], ids: list[str], tables: list[tuple[Path, Table]]) -> None:
    mti_net = [(f, t) for f, t in tables if t.paper == "mti_net"]
    assert sorted(b.table.id for b in select(mti_net, patterns)) == sorted(ids)


def test_a_pattern_that_matches_nothing_is_told(tables: list[tuple[Path, Table]]) -> None:
    with pytest.raises(SpecError, match="unknown table 'mti_net/2b'") as caught:
        select(tables, ["mti_net/2b"])
    assert "mti_net/nyuv2/2a" in caught.value.mend


def test_unknown_rows_are_told_with_the_nearest() -> None:
    bound = bind(load_suite_file(FILE), FILE)
    with pytest.raises(SpecError, match="Did you mean 'PAD-Net'"):
        bound.row("PADNet")
    assert bound.claims_of("Ours (w/ FPM)", "The FPM improves MTI-Net")
    assert not bound.claims_of("MTL", "The FPM improves MTI-Net")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A suite file with an expected table beside it."""
    folder = tmp_path / "suites" / "mti_net"
    folder.mkdir(parents=True)
    shutil.copytree(EXPECTED, tmp_path / "expected")
    return folder / "test_nyuv2_table_7a.py"


ROWS = ["Single Task", "Multi-Task", "PAD-Net", "MTI-Net (Ours)"]


def declared(rows: list[str], **changes: str) -> Table:
    said = {"paper": "mti_net", "dataset": "nyuv2", "id": "7a"} | changes
    return Table(**said, rows=[Row(r) for r in rows])


@pytest.mark.parametrize(
    ("rows", "says", "field"),
    [
        (ROWS[:-1], "not the printed ones", "MTI-Net (Ours)"),
        (ROWS[1:], "not the printed ones", "Single Task"),
        ([ROWS[0], ROWS[2], ROWS[1], ROWS[3]], "not the printed ones", "Multi-Task"),
        ([*ROWS, ROWS[3]], "not the printed ones", "MTI-Net (Ours)"),
        ([*ROWS[:3], "MTI-Net (Our)"], "unknown row", None),
    ],
)
def test_rows_must_be_the_printed_ones_in_order(rows: list[str], says: str, field: str | None, project: Path) -> None:
    bind(declared(ROWS), project)
    with pytest.raises(SpecError, match=says) as caught:
        bind(declared(rows), project)
    assert caught.value.field == field
    assert caught.value.file
    assert caught.value.mend


def test_a_table_must_be_the_one_its_expected_file_says(project: Path) -> None:
    with pytest.raises(SpecError, match="says 'nyuv2'") as caught:
        bind(declared(ROWS, dataset="pascal"), project)
    assert (caught.value.field, Path(str(caught.value.file)).name) == ("dataset", "table_7a.toml")
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "says"), [("X = 1", "declares no TABLE"), ("TABLE = 1", "declares no TABLE"), (None, "no such suite file")]
)
def test_a_file_without_a_table_is_told(text: str | None, says: str, project: Path) -> None:
    if text is not None:
        project.write_text(text)
    with pytest.raises(SpecError, match=says) as caught:
        load_suite_file(project)
    assert caught.value.file == project
    assert caught.value.mend


def test_a_missing_suites_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no suites folder") as caught:
        list(discover(tmp_path / "nowhere"))
    assert "--suites" in caught.value.mend
