"""Processes that torchrun starts: one report of two, errors of one or of all of them, a process that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtlrepro.suite import team
from mtlrepro.suite.team import gathered

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import torch
import torch.distributed as dist
from mtlrepro.engine import run
from mtlrepro.engine.run import Machine
from mtlrepro.errors import DataError, ReproError, SpecError
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec
from mtlrepro.suite import team

team.GRACE = 2.0
SPEC = RunSpec(DataSpec("scenes", (32, 32)), ModelSpec("mtl", "hrnet_nano", ("depth",)), Recipe("adam", 1.0, 0.0, 2, 1))


def execute(spec, seed, directory, machine, progress, needs):
    case, rank = directory.name, dist.get_rank()
    if case == "all":
        raise SpecError("odd", field="recipe")
    if case == "one" and rank == 1:
        raise DataError("torn", file="image.png", mend="Mend it")
    if case == "first" and rank == 0:
        raise ValueError("a fault")
    if case == "killed" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    summed = torch.ones(1)
    dist.all_reduce(summed)
    return {"sum": float(summed), "device": machine.device}


run.execute = execute
with team.gathered() as mine:
    if mine.rank:
        code = mine.follow()
    else:
        code = 0
        for case in sys.argv[1:]:
            try:
                team.check()  # as jobs do before they begin a run
                print(case, team.execute(SPEC, 0, Path(case), Machine()), flush=True)
            except ReproError as error:
                print(case, type(error).__name__, error, flush=True)
sys.exit(code)
"""


def launched(folder: Path, *cases: str) -> tuple[int, str, str]:
    """Exit code, output and errors of two processes that execute runs of these names."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([*TORCHRUN, str(script), *cases], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_an_error_of_all_processes_is_that_of_its_run_alone(tmp_path: Path) -> None:
    code, output, errors = launched(tmp_path, "fine", "all", "other")
    assert output.splitlines() == [
        "fine {'sum': 2.0, 'device': 'cpu'}",
        "all SpecError recipe: odd",
        "other {'sum': 2.0, 'device': 'cpu'}",
    ]
    assert code == 0, errors


@pytest.mark.slow
def test_an_error_of_one_process_ends_all_of_them(tmp_path: Path) -> None:
    code, output, errors = launched(tmp_path, "fine", "one", "other")
    assert code != 0
    assert output.splitlines() == ["fine {'sum': 2.0, 'device': 'cpu'}"]
    assert errors.count("mtlrepro: error: image.png: process 1 of 2: torn. Mend it") == 1


@pytest.mark.slow
def test_an_error_of_the_first_process_is_told_and_no_other_run_begun(tmp_path: Path) -> None:
    code, output, errors = launched(tmp_path, "first", "other")
    first, other = output.splitlines()
    assert first.startswith("first TrainingError")
    assert "process 0 of 2: ValueError: a fault" in first
    assert other.startswith("other TrainingError not trained, for the processes that share trainings ended:")
    assert code != 0, errors  # the process that waited has failed


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others(tmp_path: Path) -> None:
    began = time.monotonic()
    code, output, errors = launched(tmp_path, "killed", "other")
    assert code != 0
    assert "other {" not in output
    assert "SIGKILL" in errors
    assert time.monotonic() - began < 240


@pytest.mark.slow
def test_two_processes_make_one_report(tiny_dataset: Path, tmp_path: Path) -> None:
    run = ["-m", "mtlrepro", "run", "--dataset", str(tiny_dataset), "--methods", "mtl", "--size", "32x32"]
    rest = ["--epochs", "1", "--batch", "4", "--sync-bn", "--runs", "runs", "--report", "report"]
    done = subprocess.run([*TORCHRUN, *run, *rest], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # an epoch may not beat the constant predictor
    assert done.stdout.count("This report compares methods on the dataset tiny") == 1
    (result,) = (tmp_path / "runs").glob("*/result.json")
    recipe = json.loads(result.with_name("spec.json").read_text())["spec"]["recipe"]
    assert (recipe["ranks"], recipe["sync_bn"], recipe["batch"]) == (2, True, 4)
    losses = [json.loads(line) for line in result.with_name("metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in losses if "loss" in line] == [1, 2]
    assert "every batch dealt to 2 processes, batch normalisation by shared statistics" in done.stdout
    assert (tmp_path / "report" / "report.json").is_file()


def test_a_process_that_was_started_alone_has_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in team.LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    with gathered() as none:
        assert none is None
    for name in team.LAUNCHED:
        monkeypatch.setitem(os.environ, name, "1")  # torchrun with one process
    with gathered() as none:
        assert none is None
