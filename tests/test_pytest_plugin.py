"""The real pytest on a small suite: ids, selection, verdicts, report, reuse, xdist, bad options."""

from __future__ import annotations

import json
import os
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
    Row("Copied", ()),
    Row("Not written", (), missing="the method is not implemented"),
])
"""
EXPECTED = """
schema_version = 1
paper = "mini"
table = "1"
dataset = "nyuv2"
caption = "A table of one run row, one quoted row and one missing row"
source = "this test"
selection = "last"
runs = 1

[baseline]
row = "Depth network"

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
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def run_pytest(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("MTLREPRO_DATA", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS")}
    # A GPU would be served the bench tier; these tests are about the interface.
    clean |= {"CUDA_VISIBLE_DEVICES": "", "CI": "1", **env}
    command = [sys.executable, "-m", "pytest", "suites/", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True, timeout=300, check=False)


def test_ids_carry_paper_dataset_table_and_row(project: Path) -> None:
    done = run_pytest(project, "--collect-only", "-q")
    assert "suites/mini/test_nyuv2_table_1.py::mini-nyuv2-table_1[Depth network]" in done.stdout
    assert "3 tests collected" in done.stdout
    chosen = run_pytest(project, "--collect-only", "-q", "-k", "nyuv2 and table_1 and Copied")
    assert "1/3 tests collected" in chosen.stdout
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


@pytest.mark.slow
def test_a_wrong_print_fails_the_row_by_name(project: Path) -> None:
    (project / "expected" / "mini" / "table_1.toml").write_text(EXPECTED.replace("PARAMS", "5.21"))
    done = run_pytest(project, "-k", "Depth")
    assert done.returncode == 1
    assert "FAIL resource params: measured 3.9347, expected 5.21" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tier", "ful"], ["--tier", "unknown tier 'ful'", "Did you mean 'full'"]),
        (["--tier", "full"], ["no selected row can be served", "nyuv2", "MTLREPRO_DATA", "--tier auto"]),
        (["--tier", "bench"], ["no CUDA GPU"]),
        (["--seeds", "0"], ["--seeds", "at least 1"]),
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
