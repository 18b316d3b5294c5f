"""The real command line on what the papers print: audit, findings, checksums, export, list --cells."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mtlrepro.audit.items import Item
from mtlrepro.cli import main

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = ROOT / "expected"


@pytest.fixture(autouse=True)
def _checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


# --- audit ------------------------------------------------------------------------------------------------------------


def test_audit_prints_the_page_in_docs(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["audit"], capsys)
    assert text == (ROOT / "docs" / "audit.md").read_text(encoding="utf-8"), "write it with `mtlrepro audit --out docs`"


def test_audit_of_a_table_a_paper_and_both(capsys: pytest.CaptureFixture[str]) -> None:
    table = printed(["audit", "jtr/3"], capsys)
    assert "jtr table 3" in table
    assert "divided by 16" in table
    assert "jtr table 8" not in table
    assert "mti_net" not in table
    paper = printed(["audit", "mti_net"], capsys)
    assert "mti_net table 2b" in paper
    assert "jtr" not in paper
    both = printed(["audit", "mti_net", "jtr/3"], capsys)
    assert "mti_net table 2b" in both
    assert "jtr table 3" in both
    assert printed(["audit", "jtr/3", "mti_net", "jtr/3"], capsys) == both


def test_audit_of_a_table_where_all_follows_is_its_counts(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["audit", "mti_net/2a"], capsys)
    assert text.count("\n## ") == 1
    assert "## Counts" in text


def test_audit_writes_three_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    text = printed(["audit", "jtr/3", "--out", str(out)], capsys)
    names = ["audit.md", "audit.html", "audit.json"]
    assert text.splitlines() == [str(out / name) for name in names]
    assert sorted(f.name for f in out.iterdir()) == sorted(names)
    assert (out / "audit.md").read_text(encoding="utf-8") == printed(["audit", "jtr/3"], capsys)
    assert "divided by 16" in (out / "audit.html").read_text(encoding="utf-8")
    items = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert {(i["paper"], i["table"]) for i in items} == {("jtr", "3")}
    deltas = [i for i in items if i["kind"] == "delta"]
    assert len(deltas) == 9
    assert list(deltas[0]) == [f.name for f in dataclasses.fields(Item)]


def test_audit_of_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "expected"
    shutil.copytree(EXPECTED / "jtr", root / "jtr")
    shutil.copy(EXPECTED / "protocols.toml", root)
    text = printed(["audit", "--expected", str(root)], capsys)
    assert "jtr table 3" in text
    assert "mti_net" not in text


# --- findings ---------------------------------------------------------------------------------------------------------


def test_findings_of_all_papers_a_paper_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["findings"], capsys)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [f"## {p}" for p in ("aware3d", "dense_mtl", "jtr", "mt_cp", "mti_net")]
    paper = printed(["findings", "mti_net"], capsys)
    assert [line for line in paper.splitlines() if line.startswith("## ")] == ["## mti_net"]
    assert "recipe.epochs" in paper
    table = printed(["findings", "mti_net/S1"], capsys)
    assert 4 < table.count("\n") < paper.count("\n")


@pytest.mark.parametrize(("name", "start"), [("f.md", "# Where papers"), ("f.html", "<!DOCTYPE html>")])
def test_findings_as_a_page(name: str, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / name
    assert printed(["findings", "jtr", "--out", str(out)], capsys) == f"{out}\n"
    assert out.read_text(encoding="utf-8").lstrip().startswith(start)


# --- expected ---------------------------------------------------------------------------------------------------------


def copied(tmp_path: Path) -> Path:
    root = tmp_path / "expected"
    shutil.copytree(EXPECTED, root, ignore=shutil.ignore_patterns("measured"))
    return root


def test_checksums_are_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(["expected", "checksums", "--check"], capsys) == ""
    root = copied(tmp_path)
    command = ["expected", "checksums", "--expected", str(root)]
    (root / "checksums.json").unlink()
    assert printed(command, capsys) == f"{root / 'checksums.json'}\n"
    assert (root / "checksums.json").read_text() == (EXPECTED / "checksums.json").read_text()
    assert printed([*command, "--check"], capsys) == ""


def test_a_changed_digit_is_named_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copied(tmp_path)
    path = root / "mti_net" / "table_2a.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"37.49"', '"37.94"'), encoding="utf-8")
    text = printed(["expected", "checksums", "--check", "--expected", str(root)], capsys, 1)
    assert text.startswith("mti_net/2a: printed strings")
    assert text.count("\n") == 1


@pytest.mark.parametrize("kind", ["csv", "latex", "markdown"])
def test_export(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["expected", "export", "mti_net/2a", "--format", kind]
    text = printed(command, capsys)
    assert "37.49" in text
    out = tmp_path / "new" / "table"
    assert printed([*command, "--out", str(out)], capsys) == f"{out}\n"
    assert out.read_text(encoding="utf-8") == text


def test_export_is_csv_unless_told_otherwise_and_takes_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "report")
    from report_fakes import full_session

    from mtlrepro.report.jsonfile import to_text

    report = tmp_path / "report.json"
    report.write_text(to_text(full_session()))
    plain = pd.read_csv(io.StringIO(printed(["expected", "export", "mti_net/2a"], capsys)), dtype=str)
    both = printed(["expected", "export", "mti_net/2a", "--report", str(report)], capsys)
    frame = pd.read_csv(io.StringIO(both), dtype=str)
    pd.testing.assert_frame_equal(frame[list(plain.columns)], plain)
    assert [c for c in frame.columns if "measured, full" in c]


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_cells_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["list", "mti_net/2a", "--cells"], capsys)
    head, _, *lines = text.splitlines()
    names = ["paper", "table", "panel", "row", "title", "printed", "unit", "metric", "protocol", "origin", "baseline"]
    assert head.split() == [*names, "doubt"]
    import mtlrepro

    cells = mtlrepro.load_expected()
    assert len(lines) == len(cells[(cells.paper == "mti_net") & (cells.table == "2a")])
    mine = next(line for line in lines if "37.49" in line)
    for words in ("Ours (w/ FPM) (N+E)", "semseg.miou", "miou/dataset@1", "run"):
        assert words in mine
    assert "+ 10.91" in text
    assert "0.607" in text


def test_list_cells_of_panels(capsys: pytest.CaptureFixture[str]) -> None:
    one = printed(["list", "dense_mtl/2", "--cells"], capsys)
    for words in ("S-D-N-E", "idem", "dense_mtl/2 [S-D/STL [27]]"):
        assert words in one
    assert {line.split()[1] for line in one.splitlines()[2:]} == {"2"}
    assert printed(["list", "dense_mtl", "--cells"], capsys).count("\n") > one.count("\n")


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit", "jtr/33"], ["unknown table 'jtr/33'", "Did you mean 'jtr/3'"]),
        (["audit", "mti-net"], ["unknown table 'mti-net'", "Did you mean 'mti_net'"]),
        (["audit", "--expected", "nowhere"], ["nowhere", "protocols.toml"]),
        (["findings", "jtr/33"], ["unknown table 'jtr/33'", "Did you mean 'jtr/3'"]),
        (["findings", "--expected", "nowhere"], ["nowhere", "protocols.toml"]),
        (["expected", "checksums", "--expected", "nowhere"], ["nowhere", "protocols.toml"]),
        (["expected", "export", "mti_net/2c"], ["unknown table 'mti_net/2c'", "Did you mean 'mti_net/2"]),
        (["expected", "export", "mti_net"], ["unknown table 'mti_net'"]),
        (["expected", "export", "mti_net/2a", "--report", "nowhere.json"], ["nowhere.json", "no such file"]),
        (["expected", "export", "mti_net/2a", "--expected", "nowhere"], ["nowhere"]),
        (["list", "mti_net/2c", "--cells"], ["unknown table 'mti_net/2c'", "Did you mean"]),
        (["list", "--cells", "--suites", "nowhere"], ["nowhere", "no suites folder"]),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mtlrepro: error: ")
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("audit.toml", "[[readings]]\ntable = '3'\nkind = 'dleta'\nhow = 'open'\ntext = 't'\n", ["audit"]),
        ("findings.toml", "[[findings]]\nid = 'jtr-x'\n", ["findings"]),
        ("table_3.toml", "schema_version = 1\n", ["audit"]),
        ("table_3.toml", "schema_version = 1\n", ["expected", "checksums"]),
        ("table_3.toml", "schema_version = 1\n", ["expected", "export", "jtr/3"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    name: str, text: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(tmp_path)
    (root / "jtr" / name).write_text(text)
    assert main([*arguments, "--expected", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(root / "jtr" / name) in error


def test_a_checksum_file_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copied(tmp_path)
    (root / "checksums.json").unlink()
    assert main(["expected", "checksums", "--check", "--expected", str(root)]) == 2
    error = capsys.readouterr().err
    assert "mtlrepro expected checksums" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["audit", "jtr/3", "--out", "below"], ["findings", "jtr", "--out", "below.md"]])
def test_a_place_that_cannot_be_written_is_told(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([*arguments[:-1], str(tmp_path / "file" / arguments[-1])]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_findings_are_a_page_in_markdown_or_html(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "jtr", "--out", str(tmp_path / "f.pdf")]) == 2
    assert "Name a .md or .html file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_and_cells_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["list", "--rows", "--cells"])
    assert done.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_reading_that_explains_nothing_is_told_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(tmp_path)
    with (root / "jtr" / "audit.toml").open("a", encoding="utf-8") as stream:
        stream.write('\n[[readings]]\ntable = "1"\nkind = "delta"\nhow = "open"\ntext = "nothing here"\n')
    assert main(["audit", "jtr/1", "--expected", str(root)]) == 1
    assert capsys.readouterr().err == "jtr/audit.toml: a delta reading of table 1 explains nothing: nothing here\n"
    assert main(["audit", "jtr/3", "--expected", str(root)]) == 0
    assert capsys.readouterr().err == ""
