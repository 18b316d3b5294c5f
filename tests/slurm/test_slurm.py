"""A matrix on a real Slurm: tasks that are requeued, killed and out of time, and the same numbers in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PATIENCE = 420.0
MATRIX = ("--methods", "stl", "mtl", "--size", "32x32", "--batch", "4", "--epochs", "60", "--evaluate-every", "5")
TASK = ("--gpus", "0", "--cpus", "1", "--time", "20")


def mtlrepro(*arguments: object, code: int = 0) -> str:
    """What a command says. Trainings this short may be worse than a constant: `run` ends with 1 then."""
    command = [sys.executable, "-m", "mtlrepro", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (code, int(arguments[0] == "run")), done.stdout + done.stderr
    return done.stdout + done.stderr


def status(runs: Path) -> dict[str, dict[str, Any]]:
    """Label -> what `mtlrepro status --json` says of the run."""
    return {run["label"]: run for run in json.loads(mtlrepro("status", "--runs", runs, "--json"))["runs"]}


def wait_for(condition: Callable[[], Any], what: str, pause: float = 0.5) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(pause)


def test_tasks_that_are_requeued_killed_and_out_of_time_end_with_the_numbers_of_an_uninterrupted_run(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    runs, dataset = tmp_path / "runs", ("--dataset", tiny_dataset)
    dry = mtlrepro("submit", *dataset, *MATRIX, *TASK, "--runs", runs, "--dry-run")
    assert "3 runs, 3 to submit" in dry
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, text=True).stdout == ""

    said = mtlrepro("submit", *dataset, *MATRIX, *TASK, "--runs", runs, "--slurm", "hold")
    assert "submitted 3 runs as Slurm jobs" in said
    assert f"mtlrepro run --runs {runs} --dataset {tiny_dataset} --methods stl mtl" in said
    waiting = status(runs)
    assert {run["state"] for run in waiting.values()} == {"queued"}
    assert "3 runs, 0 to submit" in mtlrepro("submit", *dataset, *MATRIX, *TASK, "--runs", runs)

    requeued, killed, late = (
        waiting[f"{name}/hrnet_nano[{tasks}]"]
        for name, tasks in (("mtl", "semseg+depth"), ("stl", "depth"), ("stl", "semseg"))
    )
    subprocess.run(["scontrol", "release", requeued["job"].partition("_")[0]], check=True)
    todo: dict[str, Callable[[], object]] = {
        # by an administrator, or by Slurm for a job of higher priority
        requeued["key"]: lambda: subprocess.run(["scontrol", "requeue", requeued["job"]], check=True),
        # out of memory
        killed["key"]: lambda: os.kill(json.loads((runs / killed["key"] / "lock").read_text())["pid"], signal.SIGKILL),
        # what Slurm sends some time before the limit
        late["key"]: lambda: subprocess.run(["scancel", "--signal=USR2", late["job"]], check=True),
    }

    def interrupt() -> bool:
        for key in [key for key in todo if (runs / key / "checkpoint.safetensors").exists()]:
            todo.pop(key)()
        return not todo

    wait_for(interrupt, "a checkpoint of every run", pause=0.05)
    wait_for(lambda: status(runs)[killed["label"]]["state"] == "interrupted", "the killed task to be seen")
    assert "3 runs, 1 to submit" in mtlrepro("submit", *dataset, *MATRIX, *TASK, "--runs", runs)
    wait_for(lambda: {run["state"] for run in status(runs).values()} == {"done"}, "all runs to be done")

    logs = [(runs / "slurm" / f"{run['job']}_0_log.out").read_text() for run in (requeued, late)]
    assert all(log.count("Starting with JobEnvironment") == 2 for log in logs)
    assert "Requeued job" in logs[1]

    straight = tmp_path / "straight"
    mtlrepro("run", *dataset, *MATRIX, "--runs", straight, "--report", tmp_path / "a")
    for key in (requeued["key"], killed["key"], late["key"]):
        records = [json.loads((folder / key / "result.json").read_text()) for folder in (runs, straight)]
        assert records[0]["metrics"] == records[1]["metrics"]
        assert records[0]["evaluations"] == records[1]["evaluations"]
        lines = [(folder / key / "metrics.jsonl").read_bytes() for folder in (runs, straight)]
        assert lines[0] == lines[1]
        assert not (runs / key / "lock").exists()
    report = mtlrepro("run", *dataset, *MATRIX, "--runs", runs, "--report", tmp_path / "b")
    assert "report.html" in report
    assert {r["reused"] for r in json.loads((tmp_path / "b" / "report.json").read_text())["runs"]} == {True}


def test_a_run_that_fails_on_a_node_says_why_and_waits_to_be_tried_again(tiny_dataset: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    wrong = ("--dataset", tiny_dataset, "--methods", "mtl", "--size", "32x32", "--batch", "4", "--lr", "1e38")
    arguments = ("submit", *wrong, *TASK, "--runs", runs)
    assert "1 runs, 1 to submit" in mtlrepro(*arguments)
    wait_for(lambda: [run["state"] for run in status(runs).values()] == ["failed"], "the failure")
    shown = mtlrepro("status", "--runs", runs, "--failed", "--lines", "5")
    assert "0 queued, 0 running, 0 interrupted, 1 failed, 0 done" in shown
    assert "not finite" in shown
    assert "submitit ERROR" in shown or "TrainingError" in shown
    wait_for(lambda: not subprocess.run(["squeue", "--noheader"], capture_output=True).stdout, "an empty queue")
    again = mtlrepro(*arguments)
    assert "1 runs, 0 to submit" in again
    assert "1 failed before and are left out" in again
    assert "1 failure forgotten" in mtlrepro("status", "--runs", runs, "--retry-failed")
    assert "1 runs, 1 to submit" in mtlrepro(*arguments, "--dry-run")


def test_what_slurm_refuses_is_told_in_its_words(tiny_dataset: Path, tmp_path: Path) -> None:
    arguments = ("submit", "--dataset", tiny_dataset, "--methods", "mtl", "--size", "32x32", *TASK)
    said = mtlrepro(*arguments, "--runs", tmp_path / "runs", "--partition", "nowhere", code=2)
    assert "Slurm refuses the jobs" in said
    assert "invalid partition specified: nowhere" in said
