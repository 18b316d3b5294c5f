"""`--shard` of pytest and of `mtlrepro run`, and `mtlrepro report` on what shards leave, on rows that train nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tiny_project import environment, write_project

from mtlrepro.cli import main
from mtlrepro.suite.results import RunInfo


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("shards") / "project")


def session(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["pytest", "suites/", *arguments]
    env = environment(project.parent / "bin")
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def reports(project: Path) -> list[Path]:
    """Of three shards of two tables; the last one has no rows."""
    files = []
    for k, more in ((1, ()), (2, ()), (3, ("-n", "2"))):
        done = session(project, "-k", "Copied", "--shard", f"{k}/3", "--report", f"report-{k}", *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Shard {k}/3: the other selected rows are in the reports of the other shards." in done.stdout
        files.append(project / f"report-{k}" / "report.json")
    return files


def test_an_empty_shard_is_fine_and_leaves_a_report(reports: list[Path]) -> None:
    found = [(read(f)["shard"], [t["table"] for t in read(f)["tables"]]) for f in reports]
    assert found == [("1/3", ["1"]), ("2/3", ["2"]), ("3/3", [])]


@pytest.mark.parametrize("more", [(), ("-n", "2")])
def test_a_selection_without_any_row_is_an_error_in_every_shard(project: Path, more: tuple[str, ...]) -> None:
    done = session(project, "-k", "nothing", "--shard", "2/2", "--report", "never", *more)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not (project / "never").exists()


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the project, whose package of suites is not that of this checkout."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [*sys.path])
    mine = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "suites"}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "suites"]:
        del sys.modules[name]
    sys.modules.update(mine)


@pytest.mark.usefixtures("inside")
def test_run_takes_shards_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    assert main(["run", "mini", "--tier", "smoke", "--shard", "3/3", *out]) == 0
    assert read(tmp_path / "report" / "report.json")["shard"] == "3/3"
    assert "0 runs" in capsys.readouterr().out
    for arguments, words in (
        (["mini", "--shard", "4/3"], "--shard 4/3: no such part. Give K/N"),
        (["--dataset", "scenes", "--shard", "1/2"], "a comparison on one dataset is one table"),
    ):
        assert main(["run", *arguments, *out]) == 2
        assert words in capsys.readouterr().err


def merge(*arguments: object) -> int:
    return main(["report", *map(str, arguments)])


def test_reports_of_shards_become_one(reports: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge(*reports, "--out", tmp_path) == 0
    merged = read(tmp_path / "report.json")
    rows = {t["table"]: [r["name"] for r in t["rows"]] for t in merged["tables"]}
    assert rows == {"1": ["Copied"], "2": ["Copied"]}
    assert [part["name"] for part in merged["parts"]] == ["1/3", "2/3", "3/3"]
    said = capsys.readouterr().out
    assert "2 rows in 2 tables: 0 at full, 2 quoted" in said
    assert "Merged from 3 sessions: 1/3, 2/3, 3/3." in said
    for file in ("report.md", "report.html"):
        text = (tmp_path / file).read_text()
        assert "Merged from 3 sessions" in text
        assert "Sessions" in text
        assert "--shard 2/3" in text


def test_a_missing_shard_other_programs_and_other_machines_are_told(
    reports: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = read(reports[2])
    other["environment"] |= {"torch": "2.0", "cpu": "another <b>CPU</b>"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert merge(reports[0], tmp_path / "other.json", "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "Missing, with all their rows: 1 shard, 2/3." in said
    assert "The sessions ran different programs (torch: see Environment)" in said
    assert "The sessions ran on different machines (cpu)." in said
    page = (tmp_path / "report.html").read_text()
    assert "2.0 (3/3)" in page
    assert "<b>CPU" not in page


def test_what_two_reports_have_otherwise_is_named_and_fails(
    reports: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = read(reports[0])
    other["tables"][0]["rows"][0]["source"] = "yet another paper"
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert merge(reports[0], tmp_path / "other.json", "--out", tmp_path) == 1
    both = f"{reports[0]} and in {tmp_path / 'other.json'}"
    line = f"mini/nyuv2/1: row 'Copied' is not the same in {both}; that of {reports[0]} stands"
    assert capsys.readouterr().err.splitlines() == [line]
    assert len(read(tmp_path / "report.json")["tables"][0]["rows"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{0}", "{0}"], "is given twice. Give each report once"),
        (["{0}", "--runs", "nowhere"], "nowhere: --runs: no such folder"),
        (["{0}", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], words: str, reports: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge(*(a.format(reports[0]) for a in arguments)) == 2
    assert words in capsys.readouterr().err


def test_a_run_is_found_in_whichever_store_has_it(reports: list[Path], tmp_path: Path) -> None:
    stores = [tmp_path / name for name in ("one", "two")]
    runs = []
    for store, key in zip(stores, ("a" * 16, "b" * 16), strict=True):
        (store / key).mkdir(parents=True)
        runs.append(asdict(RunInfo(key, f"elsewhere/{key}", key, "smoke", 1.0, False, 0)))
    whole = {**read(reports[0]), "runs": [*runs, {**runs[0], "key": "c" * 16}]}
    (tmp_path / "report.json").write_text(json.dumps(whole))
    assert merge(tmp_path / "report.json", "--runs", *stores, "--out", tmp_path / "out") == 0
    found = {run["key"][0]: run["directory"] for run in read(tmp_path / "out" / "report.json")["runs"]}
    assert found == {"a": str(stores[0] / ("a" * 16)), "b": str(stores[1] / ("b" * 16)), "c": f"elsewhere/{'a' * 16}"}
