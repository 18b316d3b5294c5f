"""The pipelines that stand ready: every command in them is run, on two cheap tables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_project import ROOT, environment, write_project
from workflow_runner import Facts, Runner

GITHUB = ROOT / ".github" / "workflows" / "reproduce.yml"
GITLAB = ROOT / ".gitlab-ci.yml"
SHARDS = 4


@pytest.fixture(scope="module")
def github() -> dict[str, Any]:
    return yaml.safe_load(GITHUB.read_text())


@pytest.fixture(scope="module")
def gitlab() -> dict[str, Any]:
    return yaml.safe_load(GITLAB.read_text())


def facts(night: int, **more: str) -> Facts:
    """What the expressions of the workflow stand for in a scheduled pipeline."""
    return {
        "inputs.tier || 'smoke'": "smoke",
        "inputs.select": "",
        "inputs.seeds || '1'": "1",
        "vars.PIP_EXTRA_INDEX_URL": "",
        "strategy.job-total": str(SHARDS),
        "github.run_id": str(night),
        "!cancelled()": True,
        "!cancelled() && github.event_name == 'schedule'": True,
        "hashFiles('night/runs/*/result.json') != ''": lambda place: any(place.glob("night/runs/*/result.json")),
        **{name.replace("_", "."): value for name, value in more.items()},
    }


# --- what can be read off ---------------------------------------------------------------------------------------------


def test_the_workflow_may_read_and_nothing_else(github: dict[str, Any]) -> None:
    assert github["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in github["jobs"].values())
    text = GITHUB.read_text()
    assert "secrets" not in text
    assert not re.search(r"run: [^\n]*\$\{\{", text), "what a user types reaches a shell as a variable alone"
    assert set(github[True]) == {"schedule", "workflow_dispatch"}, "YAML reads `on` as true"


def test_shards_of_both_pipelines_are_all_there(github: dict[str, Any], gitlab: dict[str, Any]) -> None:
    assert github["jobs"]["smoke"]["strategy"]["matrix"]["shard"] == list(range(1, SHARDS + 1))
    (matrix,) = gitlab["smoke"]["parallel"]["matrix"]
    assert matrix["SHARD"] == [f"{k}/{SHARDS}" for k in range(1, SHARDS + 1)]


def test_extras_that_are_installed_exist(github: dict[str, Any], gitlab: dict[str, Any]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r'pip install -e "\.\[([\w,]+)\]"', GITHUB.read_text() + GITLAB.read_text())
    assert len(asked) == 4
    assert {extra for one in asked for extra in one.split(",")} <= set(known)
    assert not re.search(r"cu\d{2}|cuda", GITHUB.read_text() + GITLAB.read_text(), re.IGNORECASE)


def test_python_of_the_pipelines_is_supported(github: dict[str, Any], gitlab: dict[str, Any]) -> None:
    steps = [step.get("with", {}) for job in github["jobs"].values() for step in job["steps"]]
    versions = {given["python-version"] for given in steps if "python-version" in given}
    assert versions == {gitlab["default"]["image"].removeprefix("python:")} == {"3.12"}


def test_the_gpu_job_collects_what_it_would_run(github: dict[str, Any], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    env = environment(tmp_path / "bin", TIER="bench", SEEDS="3", SELECT="One", PYTEST_ADDOPTS="--collect-only -q")
    lines = [s["run"] for s in github["jobs"]["gpu"]["steps"] if ".venv/bin/pytest" in s.get("run", "")]
    (line,) = (line.replace(".venv/bin/", "") for line in lines)
    done = subprocess.run(["bash", "-ec", line], cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2/4 tests collected" in done.stdout


# --- both pipelines, for real -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nights(github: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Path]:
    """The shards of a pipeline on GitHub, and where its jobs ran."""
    root = tmp_path_factory.mktemp("nights")
    project = write_project(root / "project")
    env = environment(root / "bin")
    runner = Runner(github, project, root / "artifacts", root / "caches", env)
    runner.caches.mkdir()
    for k in range(1, SHARDS + 1):
        assert runner.job("smoke", root / f"smoke-{k}", facts(1, matrix_shard=str(k))), runner.output
    return runner, root


def report_of(place: Path) -> dict[str, Any]:
    return json.loads((place / "merged" / "report.json").read_text())


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{t['table']} {r['name']}": {**r, "reused": None} for t in report["tables"] for r in t["rows"]}


@pytest.mark.slow
def test_shards_on_github_become_one_report_and_the_next_night_is_compared(nights: tuple[Runner, Path]) -> None:
    runner, root = nights
    assert sorted(p.name for p in runner.artifacts.iterdir()) == [f"shard-{k}" for k in range(1, SHARDS + 1)]
    assert not list(runner.artifacts.rglob("checkpoint.safetensors"))
    assert runner.job("report", root / "report-1", facts(1)), runner.output
    first = report_of(root / "report-1")
    assert [p["name"] for p in first["parts"]] == [f"{k}/{SHARDS}" for k in range(1, SHARDS + 1)]
    assert len(first["runs"]) == 2
    html = (root / "report-1" / "merged" / "report.html").read_text()
    assert "Merged from 4 sessions: 1/4, 2/4, 3/4, 4/4." in html
    assert "Merged from 4 sessions" in (root / "report-1" / "summary.md").read_text()
    assert not (root / "report-1" / "merged" / "difference.html").exists(), "there was no night before"

    assert runner.job("report", root / "report-2", facts(2)), runner.output
    text = (root / "report-2" / "merged" / "difference.md").read_text()
    assert "Nothing differs." in text
    assert "2 runs in both: 2 identical bit by bit." in text

    night = runner.caches / "night-smoke-2" / "runs"
    for path in night.glob("*/result.json"):
        record = json.loads(path.read_text())
        better = {k: v * (0.5 if ".rmse" in k or ".mean" in k else 1.0) for k, v in record["metrics"].items()}
        path.write_text(json.dumps({**record, "metrics": better}))
    assert not runner.job("report", root / "report-3", facts(3)), (
        "tonight is worse than what was made of the last night"
    )
    text = (root / "report-3" / "merged" / "difference.md").read_text()
    assert "Worse: 2 figures." in text
    html = (root / "report-3" / "merged" / "difference.html").read_text()
    assert "Training curves" in html
    assert "<svg" in html
    assert sorted(p.name for p in (runner.artifacts / "report").iterdir()) >= ["difference.html", "difference.md"]
    assert (runner.caches / "night-smoke-3").is_dir(), "what is worse is the last night of tomorrow all the same"
    assert (root / "bin" / "pip.log").read_text().splitlines() == ["install -e .[test]"] * 7


@pytest.mark.slow
def test_shards_give_the_verdicts_of_one_session(nights: tuple[Runner, Path]) -> None:
    runner, root = nights
    whole = root / "whole"
    shutil.copytree(runner.checkout, whole)
    for k in range(1, SHARDS + 1):
        for run in (root / f"smoke-{k}" / "runs").glob("*/result.json"):
            shutil.copytree(run.parent, whole / "runs" / run.parent.name)
    command = ["pytest", "suites/", "--tier", "smoke"]
    done = subprocess.run(command, cwd=whole, env=runner.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    one = json.loads((whole / "report" / "report.json").read_text())
    assert all(run["reused"] for run in one["runs"]), "a shard's runs are those of the whole"
    merge = ["mtlrepro", "report", *sorted(str(p) for p in runner.artifacts.glob("shard-*/report/report.json"))]
    subprocess.run([*merge, "--out", "merged"], cwd=whole, env=runner.env, capture_output=True, text=True, check=True)
    merged = report_of(whole)
    assert rows(merged) == rows(one)
    assert merged["shard"] == one["shard"] == ""


@pytest.mark.slow
def test_shards_on_gitlab_become_pages_and_a_comparison(
    nights: tuple[Runner, Path], gitlab: dict[str, Any], tmp_path: Path
) -> None:
    runner, root = nights
    env = {**runner.env, **{k: str(v) for k, v in gitlab["variables"].items()}, "CI_PIPELINE_SOURCE": "schedule"}
    project = tmp_path / "project"
    shutil.copytree(runner.checkout, project)

    def run(job: str, **more: str) -> int:
        script = "\n".join([*gitlab["default"]["before_script"], *gitlab[job]["script"]])
        command = ["bash", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=project, env={**env, **more}, check=False).returncode

    for k in range(1, SHARDS + 1):  # what the other pipeline left; the script of the first shard finds its run done
        for part in ("runs", "report"):
            if (root / f"smoke-{k}" / part).is_dir():
                shutil.copytree(root / f"smoke-{k}" / part, project / "shards" / str(k) / part)
    (project / "shards" / "1" / "report" / "report.json").unlink()
    assert run("smoke", SHARD=f"1/{SHARDS}") == 0
    assert run("pages") == 0
    assert "Merged from 4 sessions" in (project / "public" / "index.html").read_text()
    for night, files in ((1, set()), (2, {"difference.md", "difference.html"})):
        assert run("compare") == 0, night
        assert {p.name for p in project.glob("difference/*")} == files
    assert "Nothing differs." in (project / "difference" / "difference.md").read_text()
    (damaged,) = list(project.glob("night/runs/*/result.json"))[:1]
    record = json.loads(damaged.read_text())
    record["metrics"] = {k: v * (0.5 if k.endswith((".rmse", ".mean")) else 1.0) for k, v in record["metrics"].items()}
    damaged.write_text(json.dumps(record))
    assert run("compare") == 1
    assert damaged.read_text() != json.dumps(record), "tonight is the last night of tomorrow all the same"
