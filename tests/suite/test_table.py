"""Declared tables: found, selected, bound to what is printed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_fakes import MISSING, paper_spec, table, two_sets, write_expected
from suite_fakes import EXPECTED, SUITES, make_spec

from mtlrepro.errors import SpecError
from mtlrepro.expected.load import load_all
from mtlrepro.expected.panel import panels
from mtlrepro.spec import ModelSpec
from mtlrepro.suite import session
from mtlrepro.suite.table import BoundTable, Row, Table, bind, discover, load_suite_file, select

ON_ROOMS = ["2a", "3", "4", "6a", "6b", "7a", "S2a", "S2b", "S3a", "S3b", "S3c"]
"""MTI-Net's tables on NYUD-v2."""


@pytest.fixture(scope="module")
def tables() -> list[tuple[Path, Table]]:
    return list(discover(SUITES))


def test_every_table_is_found_and_binds(tables: list[tuple[Path, Table]]) -> None:
    bound = select(tables, [])
    keys = [b.key for b in bound]
    assert {f"mti_net/nyuv2/{t}" for t in ON_ROOMS} <= set(keys)
    assert {f"mti_net/pascal_context/{t}" for t in ("2b", "7b", "S1")} <= set(keys)
    assert len(keys) == len(set(keys)) >= len(tables)
    for b in bound:
        assert [r.name for r in b.rows if not r.reading_of] == [r.name for r in b.expected.rows]
        assert {r.panel for r in b.rows} == {b.expected.key}


def test_every_panel_that_is_printed_is_declared_once(tables: list[tuple[Path, Table]]) -> None:
    printed = {(p.paper, p.dataset, p.table, p.key) for t in load_all(EXPECTED) for p in panels(t)}
    bound = [(b.table.paper, b.table.dataset, b.table.id, b.expected.key) for b in select(tables, [])]
    assert sorted(bound) == sorted(printed)


def test_a_row_has_a_recipe_or_says_why_not(tables: list[tuple[Path, Table]]) -> None:
    for b in select(tables, []):
        for row in b.rows:
            quoted = b.line(row.name).origin == "quoted"
            assert row.specs or row.missing or quoted, f"{b.key}: {row.name}"


def test_every_baseline_that_a_row_refers_to_is_there(tables: list[tuple[Path, Table]]) -> None:
    for b in select(tables, []):
        for row in b.rows:
            for there, name in session.baselines(b, row):
                assert there.row(name)


def test_file_names_carry_dataset_and_table(tables: list[tuple[Path, Table]]) -> None:
    for file, one in tables:
        assert file.stem == f"test_{one.dataset}_table_{one.id.lower()}"
        assert file.parent.name == one.paper


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        (["mti_net/2a"], ["2a"]),
        (["MTI_NET/S2A"], ["S2a"]),
        (["2a", "mti_net/nyuv2/2a", "7a"], ["2a", "7a"]),
        (["mti_net/nyuv2/*"], ON_ROOMS),
        (["*"], [*ON_ROOMS, "2b", "5", "7b", "S1"]),
    ],
)
def test_patterns(patterns: list[str], ids: list[str], tables: list[tuple[Path, Table]]) -> None:
    mti_net = [(f, t) for f, t in tables if t.paper == "mti_net"]
    assert sorted({b.table.id for b in select(mti_net, patterns)}) == sorted(ids)


def test_a_pattern_that_matches_nothing_is_told(tables: list[tuple[Path, Table]]) -> None:
    with pytest.raises(SpecError, match="unknown table 'mti_net/2c'") as caught:
        select(tables, ["mti_net/2c"])
    assert "'mti_net/2a'" in caught.value.mend


def test_unknown_rows_are_told_with_the_nearest() -> None:
    bound = table("2a")
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
    return Table(**said, rows=[Row(r, (make_spec(),)) for r in rows])


def test_rows_are_bound_in_printed_order_whatever_the_order_of_recipes(project: Path) -> None:
    (bound,) = bind(declared(ROWS[::-1]), project)
    assert [r.name for r in bound.rows] == ROWS


@pytest.mark.parametrize(
    ("rows", "says", "field"),
    [
        (ROWS[:-1], "a printed row without recipe", "MTI-Net (Ours)"),
        (ROWS[1:], "a printed row without recipe", "Single Task"),
        ([*ROWS, ROWS[0]], "is declared twice", "Single Task"),
        ([*ROWS[:3], "MTI-Net (Our)"], "unknown row.*Did you mean 'MTI-Net \\(Ours\\)'", None),
    ],
)
def test_every_printed_row_has_a_recipe_and_no_other(
    rows: list[str], says: str, field: str | None, project: Path
) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        bind(declared(rows), project)
    assert caught.value.field == field
    assert caught.value.file
    assert caught.value.mend


@pytest.mark.parametrize(
    ("needs", "says", "field"),
    [
        ((), "starts from no other one", "start"),
        ((("semseg", "resnet50_os8"),), "no run of depth", "needs"),
        ((("semseg", "resnet50_os8"), ("depth", "resnet18_os8")), "is 'resnet18_os8'", "needs[1].model.backbone"),
    ],
)
def test_what_a_run_starts_from_is_checked_on_the_paper_s_networks(
    needs: tuple[tuple[str, str], ...], says: str, field: str, project: Path
) -> None:
    """Twins of different backbones may be one network, so that a small run would not tell."""
    plain = make_spec()
    singles = [replace(plain, model=ModelSpec("deeplab_single", name, (task,))) for task, name in needs]
    stitched = ModelSpec("cross_stitch", "resnet50_os8", ("semseg", "depth"))
    wrong = replace(plain, model=stitched, needs=tuple(singles), start=True)
    table = declared(ROWS)
    rows = [*table.rows[1:], replace(table.rows[0], specs=(replace(plain, needs=(wrong,)),))]
    with pytest.raises(SpecError, match=says) as caught:
        bind(replace(table, rows=rows), project)
    assert (str(caught.value.file), caught.value.field) == (str(project), f"Single Task: {field}")


def test_some_rows_may_lack_a_recipe_if_the_table_says_why(project: Path) -> None:
    (bound,) = bind(declared(ROWS[:2], missing="no code"), project)
    assert [r.name for r in bound.rows] == ROWS
    assert [r.missing for r in bound.rows] == ["", "", "no code", "no code"]
    (bound,) = bind(declared([], missing="no code"), project)
    assert {r.missing for r in bound.rows} == {"no code"}
    with pytest.raises(SpecError, match="unknown row"):  # a slip in a name is none of them
        bind(declared(["Single Taks"], missing="no code"), project)


def test_quoted_rows_need_no_recipe_and_are_not_missing(tmp_path: Path) -> None:
    row = two_sets(tmp_path)["S-D"].row("Copied")
    assert (row.specs, row.missing) == ((), "")
    row = two_sets(tmp_path, missing=("Method",))["S-D"].row("Copied")
    assert (row.specs, row.missing) == ((), "")


def test_a_table_must_be_the_one_its_expected_file_says(project: Path) -> None:
    file = project.parents[2] / "expected" / "mti_net" / "table_7a.toml"
    file.write_text(file.read_text().replace('table = "7a"', 'table = "7b"', 1))
    with pytest.raises(SpecError, match="says '7b'") as caught:
        bind(declared(ROWS), project)
    assert (caught.value.field, caught.value.file) == ("table", file)
    assert caught.value.mend


def test_a_dataset_that_no_panel_has_is_told(project: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown dataset 'nyuv'.*Did you mean 'nyuv2'") as caught:
        bind(declared(ROWS, dataset="nyuv"), project)
    assert Path(str(caught.value.file)).name == "table_7a.toml"


# --- panels -----------------------------------------------------------------------------------------------------------


def test_a_printed_table_is_bound_panel_by_panel(tmp_path: Path) -> None:
    bound = two_sets(tmp_path)
    assert [b.key for b in bound.values()] == ["mini/nyuv2/1/S-D", "mini/nyuv2/1/S-D-N"]
    assert [[r.name for r in b.rows] for b in bound.values()] == [["Base", "Method", "Copied"], ["Base", "Method"]]
    for key, one in bound.items():
        assert one.siblings == bound
        assert one.siblings[key] is one
        assert {len(r.specs[0].model.main) for r in one.rows if r.specs} == {2 if key == "S-D" else 3}
        assert one.measured == tmp_path / "expected" / "measured"
    assert bound["S-D-N"].claims_of("Method", "A third task helps")
    assert not bound["S-D"].claims_of("Method", "A third task helps")


def test_a_row_of_a_panel_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_expected(tmp_path)
    file = tmp_path / "suites" / "mini" / "test_nyuv2_table_1.py"
    row = Row("Base", (paper_spec("mtl", "semseg"),), panel="S-D-M")
    with pytest.raises(SpecError, match=r"unknown panel 'S-D-M'.*Did you mean 'S-D") as caught:
        bind(Table("mini", "nyuv2", "1", [row], missing=MISSING), file)
    assert (caught.value.file, caught.value.field) == (file, "Base")
    with pytest.raises(SpecError, match="unknown row 'Copied'"):  # printed in the other panel alone
        bind(Table("mini", "nyuv2", "1", [Row("Copied", panel="S-D-N")], missing=MISSING), file)


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("jtr/1", {"fully labeled", "onelabel", "depth-extended onelabel", "randomlabels"}),
        ("jtr/1/onelabel", {"onelabel"}),
        ("JTR/nyuv2_13/1/Depth-extended onelabel", {"depth-extended onelabel"}),
        ("dense_mtl/synthia/1/synthia/s-d", {"Synthia/S-D"}),
        ("dense_mtl/2/s-d-n-e", {"S-D-N-E"}),
    ],
)
def test_patterns_name_panels_too(pattern: str, keys: set[str], tables: list[tuple[Path, Table]]) -> None:
    found: list[BoundTable] = select(tables, [pattern])
    assert {b.expected.key for b in found} == keys


# --- suite files ------------------------------------------------------------------------------------------------------


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
