"""The real pytest on a small suite: ids, selection, verdicts, report, reuse, xdist, bad options."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

SUITE = """
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec
from mtlrepro.suite.table import Row, Table

def single(task):
    model = ModelSpec("stl", "hrnet18", (task,))
    return RunSpec(DataSpec("nyuv2", (480, 640)), model, Recipe("adam", 1e-4, 1e-4, batch=6, epochs=80))

TABLE = Table("mini", "nyuv2", "1", [
    Row("Depth network", (single("depth"),)),
], missing="the method is not implemented")
"""
EXPECTED = """
schema_version = 2
paper = "mini"
table = "1"
dataset = "nyuv2"
caption = "A table of one run row, one quoted row and one missing row"
source = "this test"
selection = "last"
runs = 1

[[columns]]
key = "dep"
title = "Dep"
metric = "depth.rmse"
protocol = "depth/pooled@1"
unit = "m"
better = "lower"

[[columns]]
key = "params"
title = "Params (M)"
metric = "params"
protocol = "params@1"
unit = "M"
better = "lower"

[[rows]]
name = "Depth network"
cells = { dep = "0.667", params = "PARAMS" }

[[rows]]
name = "Copied"
origin = "quoted"
source = "another paper"
cells = { dep = "0.593" }

[[rows]]
name = "Not written"
cells = { dep = "0.500" }
"""

READING = """
    Row("Depth otherwise", (single("depth"),), reading_of="Depth network"),
], missing="""
PANELS_SUITE = """
from mtlrepro.suite.table import Table

TABLE = Table("mini", "nyuv2", "2", missing="the method is not implemented")
"""
PANELS = """
schema_version = 2
paper = "mini"
table = "2"
dataset = "nyuv2"
caption = "A table of two groups of rows"
source = "this test"
selection = "last"
runs = 1

[[groups]]
key = "18 layers"

[[groups]]
key = "48 layers"

[[columns]]
key = "dep"
title = "Dep"
metric = "depth.rmse"
protocol = "depth/pooled@1"
unit = "m"
better = "lower"

[[rows]]
group = "18 layers"
name = "Depth network"
cells = { dep = "0.667" }

[[rows]]
group = "48 layers"
name = "Depth network"
cells = { dep = "0.567" }
"""
DEVIATION = """
[[deviations]]
row = "Depth network"
column = "params"
observed = 3.93
reason = "a reason"
evidence = "this test"
date = "2026-11-22"
"""
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with one suite file; STL depth on HRNet-18 has 3,934,701 parameters."""
    (tmp_path / "suites" / "mini").mkdir(parents=True)
    (tmp_path / "suites" / "__init__.py").touch()
    (tmp_path / "suites" / "mini" / "__init__.py").touch()
    (tmp_path / "suites" / "mini" / "test_nyuv2_table_1.py").write_text(SUITE)
    (tmp_path / "expected" / "mini").mkdir(parents=True)
    (tmp_path / "expected" / "mini" / "table_1.toml").write_text(EXPECTED.replace("PARAMS", "3.93"))
    (tmp_path / "expected" / "tolerances.toml").touch()
    shutil.copy(ROOT / "expected" / "protocols.toml", tmp_path / "expected")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def run_pytest(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("MTLREPRO_DATA", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS")}
    # A GPU would be served the bench tier; these tests are about the interface.
    clean |= {"CUDA_VISIBLE_DEVICES": "", "CI": "1", **env}
    command = [sys.executable, "-m", "pytest", "suites/", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True, timeout=300, check=False)


def test_ids_carry_paper_dataset_table_and_row(project: Path) -> None:
    suite = project / "suites" / "mini" / "test_nyuv2_table_1.py"
    suite.write_text(suite.read_text().replace("], missing=", READING))
    done = run_pytest(project, "--collect-only", "-q", "-k", "not reading")
    assert "suites/mini/test_nyuv2_table_1.py::mini-nyuv2-table_1[Depth network]" in done.stdout
    assert "[Depth otherwise]" not in done.stdout
    assert "3/4 tests collected" in done.stdout
    chosen = run_pytest(project, "--collect-only", "-q", "-k", "nyuv2 and table_1 and Copied or reading")
    assert "[Depth otherwise]" in chosen.stdout
    assert "2/4 tests collected" in chosen.stdout
    assert not (project / "runs").exists(), "collecting must not run anything"


@pytest.mark.slow
def test_a_row_trains_once_and_the_report_says_at_which_tier(project: Path) -> None:
    summary = project / "summary.md"
    done = run_pytest(project, "-rs", "--junitxml=junit.xml", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 2 skipped" in done.stdout
    assert "QUOTED: another paper" in done.stdout
    assert "MISSING: the method is not implemented" in done.stdout
    assert "No printed number of a paper was confirmed or refuted" in done.stdout
    report = json.loads((project / "report" / "report.json").read_text())
    row = report["tables"][0]["rows"][0]
    assert row["tier"] == "smoke"
    assert row["resources"]["params"] == 3_934_701
    checks = {(c["kind"], c["subject"]): c for c in row["checks"]}
    assert checks["resource", "params"]["verdict"] == "PASS"
    assert checks["printed", "dep"]["verdict"] == "SKIPPED"
    assert "nyuv2" in checks["printed", "dep"]["reason"]
    assert checks["trivial", "depth.rmse"]["verdict"] == "PASS"
    assert "smoke" in (project / "report" / "report.md").read_text()
    assert "<html" in (project / "report" / "report.html").read_text()
    assert "smoke" in summary.read_text()
    cases = {c.get("name"): c for c in ET.parse(project / "junit.xml").iter("testcase")}
    trained = cases["mini-nyuv2-table_1[Depth network]"]
    properties = {p.get("name"): p.get("value") for p in trained.iter("property")}
    assert properties["tier"] == "smoke"
    assert properties["printed: dep"].startswith("SKIPPED")

    again = run_pytest(project, "-n", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    second = json.loads((project / "report" / "report.json").read_text())
    assert [r["reused"] for r in second["runs"]] == [True]
    assert second["tables"][0]["rows"][0]["metrics"] == row["metrics"]

    (project / "suites" / "mini" / "test_nyuv2_table_1.py").write_text(SUITE.replace("], missing=", READING))
    third = run_pytest(project, "-n", "2", "-k", "Depth")
    assert third.returncode == 0, third.stdout + third.stderr
    assert "2 passed" in third.stdout
    assert "Besides, 1 other reading of printed rows, which no paper prints: 0 at full, 1 at smoke" in third.stdout
    report = json.loads((project / "report" / "report.json").read_text())
    names = ["Depth network", "Depth otherwise"]
    assert [(r["name"], r["origin"], r["source"]) for r in report["tables"][0]["rows"]] == [
        (names[0], "run", ""),
        (names[1], "reading", names[0]),
    ]
    assert [r["reused"] for r in report["runs"]] == [True]
    checks = [c["kind"] for c in report["tables"][0]["rows"][1]["checks"]]
    assert set(checks) == {"trivial"}  # held to the constant predictor, and to no printed cell
    markdown = (project / "report" / "report.md").read_text()
    assert "| Depth otherwise (another reading of Depth network, not printed) |" in markdown


@pytest.mark.slow
def test_a_wrong_print_fails_the_row_by_name_and_a_better_figure_only_with_strict(project: Path) -> None:
    table = project / "expected" / "mini" / "table_1.toml"
    table.write_text(EXPECTED.replace("PARAMS", "5.21"))
    done = run_pytest(project, "-k", "Depth")
    assert done.returncode == 1
    assert "FAIL resource params: measured 3.9347, expected 5.21" in done.stdout
    assert "Traceback" not in done.stdout

    table.write_text(EXPECTED.replace("PARAMS", "3.93") + DEVIATION)  # the registered deviation is none: IMPROVED
    for arguments, code in (((), 0), (("--strict",), 1)):
        done = run_pytest(project, "-k", "Depth", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("IMPROVED resource params: measured 3.9347, expected 3.93" in done.stdout) == bool(code)
        report = json.loads((project / "report" / "report.json").read_text())
        assert [r["reused"] for r in report["runs"]] == [True]
        checks = report["tables"][0]["rows"][0]["checks"]
        assert [c["verdict"] for c in checks if c["kind"] == "resource"] == ["IMPROVED"]


# --- readings that are counted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--tier", "full", "--seeds", "3", "--shard", "1/1")])
def test_a_counted_reading_trains_nothing_and_is_skipped_with_its_counts(
    arguments: tuple[str, ...], project: Path
) -> None:
    suite = project / "suites" / "mini" / "test_nyuv2_table_1.py"
    counted = READING.replace('reading_of="Depth network"', 'reading_of="Depth network", counted=True')
    suite.write_text(SUITE.replace("], missing=", counted))
    done = run_pytest(project, "-rs", "-k", "otherwise", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 skipped, 3 deselected" in done.stdout
    assert "counted, not trained: another reading of 'Depth network', which is not printed" in done.stdout
    assert "No printed row was selected; 1 other reading of printed rows was counted, not trained." in done.stdout
    report = json.loads((project / "report" / "report.json").read_text())
    (row,) = report["tables"][0]["rows"]
    assert (row["tier"], row["checks"], row["resources"]["params"]) == ("conformance", [], 3_934_701)
    assert row["measured"]["params"]["mean"] == pytest.approx(3.934701)
    assert report["runs"] == []
    assert not list((project / "runs").glob("*/result.json"))


# --- rows without recipe ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--tier", "full", "--strict")])
def test_rows_without_recipe_are_skipped_as_missing_and_train_nothing(
    arguments: tuple[str, ...], project: Path
) -> None:
    done = run_pytest(project, "-rs", "-k", "Copied or written", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 skipped" in done.stdout
    assert "passed" not in done.stdout
    assert "MISSING: the method is not implemented" in done.stdout
    assert "QUOTED: another paper" in done.stdout
    rows = json.loads((project / "report" / "report.json").read_text())["tables"][0]["rows"]
    assert {r["name"]: [c["verdict"] for c in r["checks"]] for r in rows} == {
        "Copied": ["QUOTED"],
        "Not written": ["MISSING"],
    }
    assert not list((project / "runs").glob("*/result.json"))


def test_a_printed_row_without_recipe_or_reason_is_named_at_collection(project: Path) -> None:
    suite = project / "suites" / "mini" / "test_nyuv2_table_1.py"
    suite.write_text(suite.read_text().replace(', missing="the method is not implemented"', ""))
    done = run_pytest(project, "--collect-only")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "Not written: a printed row without recipe" in done.stdout
    assert "Traceback" not in done.stdout


# --- panels -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_panels(project: Path) -> Path:
    """The project with a second table of two panels."""
    (project / "suites" / "mini" / "test_nyuv2_table_2.py").write_text(PANELS_SUITE)
    (project / "expected" / "mini" / "table_2.toml").write_text(PANELS)
    return project


def test_ids_carry_the_panel(with_panels: Path) -> None:
    done = run_pytest(with_panels, "--collect-only", "-q")
    for panel in ("18 layers", "48 layers"):
        assert f"test_nyuv2_table_2.py::mini-nyuv2-table_2[{panel}/Depth network]" in done.stdout
    assert "5 tests collected" in done.stdout
    one = "suites/mini/test_nyuv2_table_2.py::mini-nyuv2-table_2[48 layers/Depth network]"
    chosen = run_pytest(with_panels, "--collect-only", "-q", "--deselect", one, "-k", "table_2")
    assert "1/5 tests collected" in chosen.stdout
    assert "[18 layers/Depth network]" in chosen.stdout


def test_panels_are_tables_of_the_report(with_panels: Path) -> None:
    done = run_pytest(with_panels, "-rs", "-k", "table_2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 skipped" in done.stdout
    tables = json.loads((with_panels / "report" / "report.json").read_text())["tables"]
    assert [(t["table"], t["panel"], [r["name"] for r in t["rows"]]) for t in tables] == [
        ("2", "18 layers", ["Depth network"]),
        ("2", "48 layers", ["Depth network"]),
    ]


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tier", "ful"], ["--tier", "unknown tier 'ful'", "Did you mean 'full'"]),
        (["--tier", "full"], ["no selected row can be served", "nyuv2", "MTLREPRO_DATA", "--tier auto"]),
        (["--tier", "bench"], ["no CUDA GPU"]),
        (["--seeds", "0"], ["--seeds", "at least 1"]),
        (["--data-option", "policy"], ["--data-option", "'policy' is not NAME=VALUE"]),
        (["--data-option", "policy=disjoint"], ["unknown setting of these datasets 'policy'", "Known: none"]),
        (["--shard", "3/2"], ["--shard 3/2", "K/N"]),
    ],
)
def test_bad_options_are_one_clear_error(project: Path, arguments: list[str], words: list[str]) -> None:
    done = run_pytest(project, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr + done.stdout
    assert not (project / "report").exists()


def test_a_row_that_is_not_printed_is_named_at_collection(project: Path) -> None:
    suite = project / "suites" / "mini" / "test_nyuv2_table_1.py"
    suite.write_text(suite.read_text().replace('"Depth network"', '"Depth netwrok"'))
    done = run_pytest(project, "--collect-only")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "unknown row 'Depth netwrok'. Did you mean 'Depth network'" in done.stdout


def test_shards_partition_the_rows(project: Path) -> None:
    def collected(shard: str) -> set[str]:
        lines = run_pytest(project, "--collect-only", "-q", "--shard", shard).stdout.splitlines()
        return {line for line in lines if "::" in line}

    parts = [collected(f"{k}/2") for k in (1, 2)]
    assert parts[0] | parts[1] == collected("1/1")
    assert not parts[0] & parts[1]
